package lumaagents

import (
	"cmp"
	"context"
	"net/url"
	"path"
	"strings"

	"github.com/refract-video/refract/internal/provider"
)

const submitPath = "/generations"

// editRequest is the body of a submission. The type is always sent, since without one the API makes an image.
type editRequest struct {
	Model  string  `json:"model"`
	Type   string  `json:"type"`
	Prompt string  `json:"prompt"`
	Source source  `json:"source"`
	Video  options `json:"video"`
}

type source struct {
	URL       string `json:"url"`
	MediaType string `json:"media_type"` // Mandatory with the URL of a video.
}

type options struct {
	Resolution string `json:"resolution"`
	StartFrame *image `json:"start_frame,omitempty"`
	Edit       edit   `json:"edit"`
}

type image struct {
	URL string `json:"url"`
}

type edit struct {
	Strength string `json:"strength"`
}

// Submit asks the provider to start one attempt: one POST, at most 30 s. It succeeds only with an id in hand;
// an answer that says a generation was created and does not name it is Ambiguous.
func (p *Provider) Submit(ctx context.Context, s provider.Submission) (string, error) {
	body := editRequest{
		Model:  cmp.Or(s.Model, p.Capabilities().Model),
		Type:   "video_edit",
		Prompt: s.Prompt,
		Source: source{URL: s.SourceURI, MediaType: mediaType(s.SourceURI)},
		Video: options{
			Resolution: resolution,
			Edit:       edit{Strength: cmp.Or(s.Strength, p.Capabilities().Strength)},
		},
	}
	if s.FirstFrameURI != "" {
		body.Video.StartFrame = &image{URL: s.FirstFrameURI}
	}
	return p.Create(ctx, submitPath, body)
}

// mediaType returns the type of a source, by the extension of its name.
func mediaType(uri string) string {
	u, err := url.Parse(uri)
	if err == nil && strings.EqualFold(path.Ext(u.Path), ".mov") {
		return "video/quicktime"
	}
	return "video/mp4"
}
