package lumaagents

import (
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestSubmit_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	adapter().TestRequests(t, "/v1/", "/v1/generations", taskID, []wiretest.Request{
		{
			Name: "with all fields",
			Submission: provider.Submission{
				Prompt: `A city <with> "spires" & stars`, SourceURI: "https://example.com/in.MOV?a=1&b=2", Strength: "reimagine_3",
				Model: "ray-3.2", FirstFrameURI: "https://example.com/image.png",
			},
			Body: `{"model":"ray-3.2","type":"video_edit","prompt":"A city <with> \"spires\" & stars",` +
				`"source":{"url":"https://example.com/in.MOV?a=1&b=2","media_type":"video/quicktime"},` +
				`"video":{"resolution":"720p","start_frame":{"url":"https://example.com/image.png"},"edit":{"strength":"reimagine_3"}}}`,
		},
		{
			Name:       "without optional fields",
			Submission: provider.Submission{Prompt: "...", SourceURI: "https://example.com/in.mp4", CallbackURL: wiretest.CallbackURL},
			Body: `{"model":"ray-3.2","type":"video_edit","prompt":"...",` +
				`"source":{"url":"https://example.com/in.mp4","media_type":"video/mp4"},` +
				`"video":{"resolution":"720p","edit":{"strength":"flex_1"}}}`,
		},
	})
}

func TestSubmit_TakesNothingButAnIDForAnAcceptance(t *testing.T) {
	t.Parallel()
	adapter().TestPlainCreated(t, taskID)
}

func TestMediaType_FollowsTheEndingOfTheName(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://h/a.mp4":               "video/mp4",
		"https://h/a.mov":               "video/quicktime",
		"https://h/a.b/c.MoV?x=1.mp4#f": "video/quicktime",
		"https://h/a.mp4?name=b.mov":    "video/mp4",
		"https://h/a.mov/b":             "video/mp4",
		"https://h/a.avi":               "video/mp4",
		"https://h/":                    "video/mp4",
		"https://h.mov":                 "video/mp4",
		"":                              "video/mp4",
		"https://h/%zz.mov":             "video/mp4",
	} {
		if got := mediaType(uri); got != want {
			t.Errorf("media type of %q is %q, want %q", uri, got, want)
		}
	}
}
