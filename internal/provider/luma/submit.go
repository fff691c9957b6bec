package luma

import (
	"context"
	"maps"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

const submitPath = "/generations/video/modify"

// Submit asks the provider to start one attempt: one POST, at most 30 s. It succeeds only if the answer has
// an id. An answer that reports a created generation without its id is Ambiguous.
//
// The SDKs require the generation type and the model, and call the strength mode [D].
func (p *Provider) Submit(ctx context.Context, s provider.Submission) (provider.Receipt, error) {
	body := maps.Clone(s.Inputs)
	body["generation_type"], body["model"] = "modify_video", s.Remote
	if s.CallbackURL != "" {
		body["callback_url"] = s.CallbackURL
	}
	return p.Create(ctx, submitPath, body, wire.CallbackSecrets(s.CallbackURL)...)
}
