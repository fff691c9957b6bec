package lumaagents

import (
	"context"
	"maps"

	"github.com/refract-video/refract/internal/provider"
)

const submitPath = "/generations"

// Submit asks the provider to start one attempt: one POST, at most 30 s. It succeeds only if the answer has
// an id. An answer that reports a created generation without its id is Ambiguous.
//
// The type is always present, because the API makes an image without it.
func (p *Provider) Submit(ctx context.Context, s provider.Submission) (provider.Receipt, error) {
	body := maps.Clone(s.Inputs)
	body["type"], body["model"] = "video_edit", s.Remote
	return p.Create(ctx, submitPath, body)
}
