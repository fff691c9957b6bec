package lumaagents

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// generations are all that an answer can say, and what it means.
var generations = []struct {
	name, body string
	want       provider.Status
}{
	{"documented example", documentedGeneration, succeeded("https://h/1.mp4?X-Amz-Signature=1")},
	{"just accepted", accepted, provider.Status{Phase: provider.Running}},
	{"processing", generation(`"state":"processing"`), provider.Status{Phase: provider.Running}},
	{"processing, output already there", generation(`"state":"processing","output":[{"type":"video","url":"https://h/1.mp4"}]`), provider.Status{Phase: provider.Running}},
	{"no id", `{"state":"queued"}`, provider.Status{Phase: provider.Running}},
	{"completed, two videos", generation(`"state":"completed","output":[{"type":"video","url":"https://h/1.mp4"},{"type":"video","url":"http://h/2.mp4"}]`), succeeded("https://h/1.mp4", "http://h/2.mp4")},
	{"completed, type absent", generation(`"state":"completed","output":[{"url":"https://h/1.mp4"}]`), succeeded("https://h/1.mp4")},
	{"completed, by-products", generation(`"state":"completed","output":[{"type":"exr","url":"https://h/1.zip"},{"type":"image","url":"https://h/1.png"},{"type":"video","url":"https://h/1.mp4"}]`), succeeded("https://h/1.mp4")},
	{"completed, output null", generation(`"state":"completed","output":null`), succeeded()},
	{"completed, output absent", generation(`"state":"completed"`), succeeded()},
	{"completed, output empty", generation(`"state":"completed","output":[]`), succeeded()},
	{"completed, output an object", generation(`"state":"completed","output":{"type":"video","url":"https://h/1.mp4"}`), succeeded()},
	{"completed, links that are none", generation(`"state":"completed","output":["https://h/1.mp4",null,7,{"type":"video","url":"file:///etc/passwd"},{"type":"video","url":null},{"type":"video","url":"https://h/2.mp4"}]`), succeeded("https://h/2.mp4")},
	{"failed", generation(`"state":"failed","failure_code":"generation_failed","failure_reason":"Internal error"`), failed(provider.CauseUnspecified, "generation_failed: Internal error")},
	{"failed, code alone", generation(`"state":"failed","failure_code":"content_moderated","failure_reason":null`), failed(provider.CauseModerated, "content_moderated")},
	{"failed, reason alone", generation(`"state":"failed","failure_reason":"no"`), failed(provider.CauseUnspecified, "no")},
	{"failed, nulls", generation(`"state":"failed","failure_code":null,"failure_reason":null`), failed(provider.CauseUnspecified, "")},
	{"failed, nothing", generation(`"state":"failed"`), failed(provider.CauseUnspecified, "")},
	{"failed, odd types", generation(`"state":"failed","failure_code":7,"failure_reason":["no"]`), failed(provider.CauseUnspecified, "")},
	{
		"failed, source echoed",
		generation(`"state":"failed","failure_code":"corrupt_input","failure_reason":"can't decode https://b.example/in.mp4?sig=s3cr3t"`),
		failed(provider.CauseInputUnsupported, "corrupt_input: can't decode https://b.example/[redacted]"),
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
		{"state of another case", generation(`"state":"Completed","output":[{"type":"video","url":"https://h/1.mp4"}]`), `state "Completed"`},
		{"state of another type", generation(`"state":1`), "state 1"},
		{"no state", generation(`"output":[{"type":"video","url":"https://h/1.mp4"}]`), "state"},
		{"another generation", `{"id":"U","state":"completed","output":[{"type":"video","url":"https://h/1.mp4"}]}`, ""},
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

func TestCheck_KeepsAtMostSoManyLinks(t *testing.T) {
	t.Parallel()
	links := `{"type":"video","url":"https://h/1.mp4"}` + strings.Repeat(`,{"type":"video","url":"https://h/1.mp4"}`, 2*wire.MaxLinks)
	p := answering(t, http.StatusOK, generation(`"state":"completed","output":[`+links+`]`))
	status, err := p.Check(t.Context(), taskID, longAgo())
	if err != nil || len(status.ResultURLs) != wire.MaxLinks {
		t.Errorf("%d links, %v; want %d", len(status.ResultURLs), err, wire.MaxLinks)
	}
}
