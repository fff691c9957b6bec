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

// editRequest is the body of a submission. The type is always present, because the API makes an image without
// it.
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

// Submit asks the provider to start one attempt: one POST, at most 30 s. It succeeds only if the answer has
// an id. An answer that reports a created generation without its id is Ambiguous.
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

// mediaType returns the media type of a source, by its file extension.
func mediaType(uri string) string {
	u, err := url.Parse(uri)
	if err == nil && strings.EqualFold(path.Ext(u.Path), ".mov") {
		return "video/quicktime"
	}
	return "video/mp4"
}
