package luma

import (
	"cmp"
	"context"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

const submitPath = "/generations/video/modify"

// modifyRequest is the body of a submission. The SDKs require the generation type, the model and the mode.
// The mode is the strength [D].
type modifyRequest struct {
	GenerationType string `json:"generation_type"`
	Model          string `json:"model"`
	Mode           string `json:"mode"`
	Prompt         string `json:"prompt,omitempty"`
	Media          media  `json:"media"`
	FirstFrame     *media `json:"first_frame,omitempty"`
	CallbackURL    string `json:"callback_url,omitempty"`
}

type media struct {
	URL string `json:"url"`
}

// Submit asks the provider to start one attempt: one POST, at most 30 s. It succeeds only if the answer has
// an id. An answer that reports a created generation without its id is Ambiguous.
func (p *Provider) Submit(ctx context.Context, s provider.Submission) (string, error) {
	body := modifyRequest{
		GenerationType: "modify_video",
		Model:          cmp.Or(s.Model, p.Capabilities().Model),
		Mode:           cmp.Or(s.Strength, p.Capabilities().Strength),
		Prompt:         s.Prompt,
		Media:          media{URL: s.SourceURI},
		CallbackURL:    s.CallbackURL,
	}
	if s.FirstFrameURI != "" {
		body.FirstFrame = &media{URL: s.FirstFrameURI}
	}
	return p.Create(ctx, submitPath, body, wire.CallbackSecrets(s.CallbackURL)...)
}
