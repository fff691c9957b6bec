package luma

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// generations are all that an answer or a callback can say, and what it means.
var generations = []struct {
	name, body string
	want       provider.Status
}{
	{"documented example", documentedGeneration, succeeded("https://storage.cdn-luma.com/.../x.mp4")},
	{"just accepted", accepted, provider.Status{Phase: provider.Running}},
	{"dreaming", generation(`"state":"dreaming","assets":{"video":null,"progress_video":"https://h/p.mp4"}`), provider.Status{Phase: provider.Running}},
	{"dreaming, video already there", generation(`"state":"dreaming","assets":{"video":"https://h/1.mp4"}`), provider.Status{Phase: provider.Running}},
	{"dreaming, odd assets", generation(`"state":"dreaming","assets":7`), provider.Status{Phase: provider.Running}},
	{"completed", generation(`"state":"completed","assets":{"video":"https://h/1.mp4?s=1"}`), succeeded("https://h/1.mp4?s=1")},
	{"completed, assets null", generation(`"state":"completed","assets":null`), succeeded()},
	{"completed, assets absent", generation(`"state":"completed"`), succeeded()},
	{"completed, video null", generation(`"state":"completed","assets":{"video":null}`), succeeded()},
	{"completed, no link", generation(`"state":"completed","assets":{"video":"file:///etc/passwd"}`), succeeded()},
	{"completed, a list of links", generation(`"state":"completed","assets":{"video":["https://h/1.mp4"]}`), succeeded()},
	{"completed, only by-products", generation(`"state":"completed","assets":{"image":"https://h/1.png","progress_video":"https://h/p.mp4"}`), succeeded()},
	{"completed, only the source", generation(`"state":"completed","request":{"media":{"url":"https://h/in.mp4"}}`), succeeded()},
	{"failed", generation(`"state":"failed","failure_reason":"Job failed"`), failed(provider.CauseUnspecified, "Job failed")},
	{"failed, no reason", generation(`"state":"failed"`), failed(provider.CauseUnspecified, "")},
	{"failed, reason null", generation(`"state":"failed","failure_reason":null`), failed(provider.CauseUnspecified, "")},
	{"failed, reason of another type", generation(`"state":"failed","failure_reason":{"en":"no"}`), failed(provider.CauseUnspecified, "")},
	{"failed, prompt processing", generation(`"state":"failed","failure_reason":"Prompt processing failed"`), failed(provider.CauseUnspecified, "Prompt processing failed")},
	{"failed, blacklisted", generation(`"state":"failed","failure_reason":"Contains blacklisted words"`), failed(provider.CauseModerated, "Contains blacklisted words")},
	{"failed, frame", generation(`"state":"failed","failure_reason":"400: Frame moderation failed."`), failed(provider.CauseModerated, "400: Frame moderation failed.")},
	{"failed, prompt", generation(`"state":"failed","failure_reason":"advanced prompt moderation failed"`), failed(provider.CauseModerated, "advanced prompt moderation failed")},
	{"failed, unreachable", generation(`"state":"failed","failure_reason":"Failed to read user input frames"`), failed(provider.CauseInputUnreachable, "Failed to read user input frames")},
	{
		"failed, callback URL echoed",
		generation(`"state":"failed","request":{"callback_url":"` + wiretest.CallbackURL + `"},"failure_reason":"calling ` + wiretest.CallbackURL + ` (` + wiretest.Token + `)"`),
		failed(provider.CauseUnspecified, "calling [redacted] ([redacted])"),
	},
}

func generation(fields string) string { return `{"id":"` + taskID + `",` + fields + `}` }

func succeeded(links ...string) provider.Status {
	return provider.Status{Phase: provider.Succeeded, ResultURLs: links}
}

func failed(cause provider.Cause, message string) provider.Status {
	return provider.Status{Phase: provider.Failed, Cause: cause, Message: message}
}

func TestCheck_ReadsEveryGeneration(t *testing.T) {
	t.Parallel()
	for _, tt := range generations {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := answering(t, http.StatusOK, tt.body).Check(t.Context(), taskID, longAgo())
			if err != nil {
				t.Fatalf("Check: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheck_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	var got []string
	url, _ := wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = []string{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Accept")}
		_, _ = w.Write([]byte(`{"state":"queued"}`))
	})
	status, err := newProvider(t, url).Check(t.Context(), "../a b?c", time.Now())
	if err != nil || status.Phase != provider.Running {
		t.Errorf("Check = %+v, %v; want running", status, err)
	}
	want := []string{"GET", "/generations/..%2Fa%20b%3Fc", "Bearer " + wiretest.Key, "application/json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestCheck_IsUnavailableWhenTheAnswerSaysNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, message string }{
		{"unknown state", generation(`"state":"pondering"`), `state "pondering"`},
		{"state of another case", generation(`"state":"Completed","assets":{"video":"https://h/1.mp4"}`), `state "Completed"`},
		{"state of another type", generation(`"state":1`), "state 1"},
		{"no state", generation(`"assets":{"video":"https://h/1.mp4"}`), "state"},
		{"another generation", `{"id":"U","state":"completed","assets":{"video":"https://h/1.mp4"}}`, ""},
		{"no object", `[` + documentedGeneration + `]`, ""},
		{"page", `<html>`, "<html>"},
		{"cut", documentedGeneration[:100], ""},
		{"empty", ``, ""},
		{"null", `null`, "null"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := answering(t, http.StatusOK, tt.body).Check(t.Context(), taskID, longAgo())
			perr := wiretest.WantClass(t, err, provider.Unavailable)
			if tt.message != "" && perr.Message != tt.message {
				t.Errorf("message is %q, want %q", perr.Message, tt.message)
			}
			if perr.Op != "check" || perr.Err == nil {
				t.Errorf("operation %q, cause %v", perr.Op, perr.Err)
			}
		})
	}
}

func TestCheck_WaitsForAGenerationThatIsNotVisibleYet(t *testing.T) {
	t.Parallel()
	p := answering(t, http.StatusNotFound, `{"detail":"Generation not found"}`)
	status, err := p.Check(t.Context(), taskID, time.Now())
	if err != nil || status.Phase != provider.Running {
		t.Errorf("right after submission: %v, %v; want running", status.Phase, err)
	}
	_, err = p.Check(t.Context(), taskID, time.Now().Add(-visibilityGrace))
	wiretest.WantClass(t, err, provider.NotFound)

	invisible := func(age time.Duration) (provider.Status, *provider.Error) {
		return p.readCheck(nil, &provider.Error{Class: provider.NotFound, Op: string(wire.OpCheck)}, taskID, age)
	}
	if status, perr := invisible(visibilityGrace - 1); perr != nil || status.Phase != provider.Running {
		t.Errorf("just inside the grace: %v, %v; want running", status.Phase, perr)
	}
	if _, perr := invisible(visibilityGrace); perr == nil || perr.Class != provider.NotFound {
		t.Errorf("at its end: %v; want not found", perr)
	}
}
