package luma

import (
	"testing"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestSubmit_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	adapter().TestRequests(t, "/dream-machine/v1/", "/dream-machine/v1/generations/video/modify", taskID, []wiretest.Request{
		{
			Name: "with all fields",
			Submission: wiretest.SubmissionOf(t, Name, "ray-flash-2", catalog.Request{
				Prompt: `A city <with> "spires" & stars`, SourceURI: "https://example.com/video.mp4?a=1&b=2", Strength: "reimagine_3",
				FirstFrameURI: "https://example.com/image.png",
			}, wiretest.CallbackURL),
			Body: `{"generation_type":"modify_video","model":"ray-flash-2","mode":"reimagine_3","prompt":"A city <with> \"spires\" & stars",` +
				`"media":{"url":"https://example.com/video.mp4?a=1&b=2"},"first_frame":{"url":"https://example.com/image.png"},` +
				`"callback_url":"` + wiretest.CallbackURL + `"}`,
		},
		{
			Name:       "without optional fields",
			Submission: wiretest.SubmissionOf(t, Name, "", catalog.Request{SourceURI: "https://example.com/video.mp4"}, ""),
			Body:       `{"generation_type":"modify_video","model":"ray-2","mode":"flex_1","media":{"url":"https://example.com/video.mp4"}}`,
		},
	})
}

func TestSubmit_TakesNothingButAnIDForAnAcceptance(t *testing.T) {
	t.Parallel()
	adapter().TestPlainCreated(t, taskID)
}
