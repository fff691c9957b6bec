package fal

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestSubmit_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	adapter().TestRequests(t, "/queue/", "/queue/fal-ai/luma-dream-machine/ray-2/modify?fal_webhook="+url.QueryEscape(wiretest.CallbackURL), taskID, []wiretest.Request{
		{
			Name: "with all fields",
			Submission: wiretest.SubmissionOf(t, Name, "", catalog.Request{
				Prompt: `A city <with> "spires" & stars`, SourceURI: "https://example.com/video.mp4?a=1&b=2", Strength: "reimagine_3",
				FirstFrameURI: "https://example.com/image.png",
			}, wiretest.CallbackURL),
			Body: `{"mode":"reimagine_3","prompt":"A city <with> \"spires\" & stars",` +
				`"video_url":"https://example.com/video.mp4?a=1&b=2","image_url":"https://example.com/image.png"}`,
		},
		{
			Name:       "without optional fields",
			Submission: wiretest.SubmissionOf(t, Name, "", catalog.Request{SourceURI: "https://example.com/video.mp4"}, wiretest.CallbackURL),
			Body:       `{"mode":"flex_1","video_url":"https://example.com/video.mp4"}`,
		},
	})
	adapter().TestRequests(t, "", "/luma/agent/ray/v3.2/video-to-video", taskID, []wiretest.Request{{
		Name:       "another model, without a callback",
		Submission: wiretest.SubmissionOf(t, Name, "luma/ray-3.2-edit", catalog.Request{Prompt: "rain", SourceURI: "https://example.com/video.mp4"}, ""),
		Body:       `{"edit_strength":"flex_1","prompt":"rain","resolution":"720p","video_url":"https://example.com/video.mp4"}`,
	}})
}

// TestSubmit_IsNeverRunTwice wants the header without which the queue retries by itself, and a lifetime of the result that is
// longer than what the capabilities promise.
func TestSubmit_IsNeverRunTwice(t *testing.T) {
	t.Parallel()
	var got []string
	server, _ := wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = []string{r.Header.Get("X-Fal-No-Retry"), r.Header.Get("X-Fal-Object-Lifecycle-Preference"), r.Header.Get("X-Fal-Store-Io")}
		_, _ = io.WriteString(w, accepted)
	})
	p := newProvider(t, server)
	if err := adapter().Do(t, p, wire.OpSubmit); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1", `{"expiration_duration_seconds":604800}`, ""}, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if fileLifetime <= p.Capabilities().LinkLifetime {
		t.Error("results live no longer than promised")
	}
}

func TestSubmit_RefusesWhatIsNoModelWithoutARequest(t *testing.T) {
	t.Parallel()
	server, requests := wiretest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, accepted) })
	for _, remote := range []string{"", "modify", "/modify", "fal-ai/", "fal-ai/..", "fal-ai//modify", "fal-ai/./modify", "../modify"} {
		_, err := newProvider(t, server).Submit(t.Context(), provider.Submission{Remote: remote})
		wiretest.WantClass(t, err, provider.Rejected)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestSubmit_TakesNothingButARequestIDForAnAcceptance(t *testing.T) {
	t.Parallel()
	adapter().TestAccepted(t, []wiretest.Answer{
		{Name: "as documented", Status: 200, Body: accepted, Want: taskID},
		{Name: "another 2xx", Status: 202, Body: accepted, Want: taskID},
		{Name: "id alone", Status: 200, Body: `{"request_id":"T"}`, Want: "T"},
		{Name: "webhook page", Status: 200, Body: `{"request_id":"T","gateway_request_id":"U"}`, Want: "T"},
		{Name: "longest id", Status: 200, Body: `{"request_id":"` + strings.Repeat("a", 128) + `"}`, Want: strings.Repeat("a", 128)},
	})
	adapter().TestProveNothing(t, []wiretest.Answer{
		{Name: "no content", Status: 204, Body: ``},
		{Name: "page", Status: 200, Body: `<html>hello</html>`},
		{Name: "cut JSON", Status: 200, Body: accepted[:40]},
		{Name: "no object", Status: 200, Body: `["` + taskID + `"]`},
		{Name: "null", Status: 200, Body: `null`},
		{Name: "no id", Status: 200, Body: `{"status":"IN_QUEUE"}`},
		{Name: "id of another name", Status: 200, Body: `{"id":"T"}`},
		{Name: "id null", Status: 200, Body: `{"request_id":null}`},
		{Name: "id a number", Status: 200, Body: `{"request_id":7}`},
		{Name: "id of dots", Status: 200, Body: `{"request_id":".."}`},
		{Name: "id too long", Status: 200, Body: `{"request_id":"` + strings.Repeat("a", 129) + `"}`},
		{Name: "id with a line break", Status: 200, Body: `{"request_id":"a\nb"}`},
		{Name: "refusal that names a request", Status: 422, Body: `{"detail":"no","request_id":"T"}`},
		{Name: "locked, and names a request", Status: 403, Body: `{"detail":"User is locked. Reason: Exhausted balance","request_id":"T"}`},
		{Name: "not found, and names a request", Status: 404, Body: `{"detail":"Application not found","request_id":"T"}`},
		{Name: "refusal that names no usable request", Status: 400, Body: `{"detail":"no","request_id":".."}`},
		{Name: "request under HTTP 500", Status: 500, Body: accepted},
		{Name: "page under HTTP 502", Status: 502, Body: `<html>bad gateway</html>`},
	})
}

func TestSubmit_KeepsTheAddressesOfItsOwnHostAlone(t *testing.T) {
	t.Parallel()
	const path = "/fal-ai/luma-dream-machine/requests/T"
	for name, tt := range map[string]struct {
		status, response string
		kept             bool
	}{
		"own":                   {"{base}" + path + "/status", "{base}" + path, true},
		"own, another path":     {"{base}/v2/T/status", "{base}/v2/T", true},
		"status elsewhere":      {"https://evil.example.com" + path + "/status", "{base}" + path, false},
		"response elsewhere":    {"{base}" + path + "/status", "https://queue.falrun.com" + path, false},
		"another scheme":        {"{tls}" + path + "/status", "{tls}" + path, false},
		"host that begins like": {"{base}.evil.example.com/status", "{base}" + path, false},
		"user":                  {"{user}" + path + "/status", "{base}" + path, false},
		"missing":               {"", "{base}" + path, false},
		"relative":              {path + "/status", path, false},
		"too long":              {"{base}" + path + "/status", "{base}" + path + strings.Repeat("x", provider.MaxHandle), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var base string
			fill := func(s string) string {
				host := strings.TrimPrefix(base, "http://")
				return strings.NewReplacer("{base}", base, "{tls}", "https://"+host, "{user}", "http://u@"+host).Replace(s)
			}
			base, _ = wiretest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"request_id":"T","status_url":"`+fill(tt.status)+`","response_url":"`+fill(tt.response)+`"}`)
			})
			receipt, err := newProvider(t, base).Submit(t.Context(), wiretest.Submission)
			if err != nil || receipt.TaskID != "T" {
				t.Fatalf("Submit = %+v, %v", receipt, err)
			}
			want := ""
			if tt.kept {
				want = fill(tt.status) + " " + fill(tt.response)
			}
			if receipt.Handle != want {
				t.Errorf("handle is %q, want %q", receipt.Handle, want)
			}
		})
	}
}
