package lumaagents

import (
	"testing"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestSubmit_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	adapter().TestRequests(t, "/v1/", "/v1/generations", taskID, []wiretest.Request{
		{
			Name: "with all fields",
			Submission: wiretest.SubmissionOf(t, Name, "ray-3.2", catalog.Request{
				Prompt: `A city <with> "spires" & stars`, SourceURI: "https://example.com/in.MOV?a=1&b=2", Strength: "reimagine_3",
				FirstFrameURI: "https://example.com/image.png",
			}, ""),
			Body: `{"model":"ray-3.2","type":"video_edit","prompt":"A city <with> \"spires\" & stars",` +
				`"source":{"url":"https://example.com/in.MOV?a=1&b=2","media_type":"video/quicktime"},` +
				`"video":{"resolution":"720p","start_frame":{"url":"https://example.com/image.png"},"edit":{"strength":"reimagine_3"}}}`,
		},
		{
			Name:       "without optional fields",
			Submission: wiretest.SubmissionOf(t, Name, "", catalog.Request{Prompt: "...", SourceURI: "https://example.com/in.mp4"}, wiretest.CallbackURL),
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
