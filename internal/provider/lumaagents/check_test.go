package lumaagents

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/lumalabs"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// generations are all that an answer can say, and what it means.
var generations = []wiretest.Reading{
	{Name: "documented example", Body: documentedGeneration, Want: succeeded("https://h/1.mp4?X-Amz-Signature=1")},
	{Name: "just accepted", Body: accepted, Want: provider.Status{Phase: provider.Running}},
	{Name: "processing", Body: generation(`"state":"processing"`), Want: provider.Status{Phase: provider.Running}},
	{Name: "processing, output already there", Body: generation(`"state":"processing","output":[{"type":"video","url":"https://h/1.mp4"}]`), Want: provider.Status{Phase: provider.Running}},
	{Name: "no id", Body: `{"state":"queued"}`, Want: provider.Status{Phase: provider.Running}},
	{Name: "completed, two videos", Body: generation(`"state":"completed","output":[{"type":"video","url":"https://h/1.mp4"},{"type":"video","url":"http://h/2.mp4"}]`), Want: succeeded("https://h/1.mp4", "http://h/2.mp4")},
	{Name: "completed, type absent", Body: generation(`"state":"completed","output":[{"url":"https://h/1.mp4"}]`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, by-products", Body: generation(`"state":"completed","output":[{"type":"exr","url":"https://h/1.zip"},{"type":"image","url":"https://h/1.png"},{"type":"video","url":"https://h/1.mp4"}]`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, output null", Body: generation(`"state":"completed","output":null`), Want: succeeded()},
	{Name: "completed, output absent", Body: generation(`"state":"completed"`), Want: succeeded()},
	{Name: "completed, output empty", Body: generation(`"state":"completed","output":[]`), Want: succeeded()},
	{Name: "completed, output an object", Body: generation(`"state":"completed","output":{"type":"video","url":"https://h/1.mp4"}`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, output in a string", Body: generation(`"state":"completed","output":"[{\"type\":\"Video\",\"url\":\" https://h/1.mp4\"},{\"type\":\"image\",\"url\":\"https://h/1.png\"}]"`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, a link alone", Body: generation(`"state":"completed","output":"https://h/1.mp4"`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, links alone, with repetitions", Body: generation(`"state":"completed","output":["https://h/1.mp4","https://h/1.mp4 ","https://h/2.mp4"]`), Want: succeeded("https://h/1.mp4", "https://h/2.mp4")},
	{Name: "completed, output a number", Body: generation(`"state":"completed","output":7`), Want: unread("output can't be read: 7")},
	{Name: "completed, in other letters", Body: generation(`"state":"COMPLETED","output":"https://h/1.mp4"`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, links that are none", Body: generation(`"state":"completed","output":["https://h/1.mp4",null,7,{"type":"video","url":"file:///etc/passwd"},{"type":"video","url":null},{"type":"video","url":"https://h/2.mp4"}]`), Want: unread(
		`output can't be read: ["https://h/[redacted]",null,7,{"type":"video","url":"file:///etc/passwd"},{"type":"video","url":null},{"type":"video","url":"https://h/[redacted]"}]`,
		"https://h/1.mp4", "https://h/2.mp4")},
	{Name: "failed", Body: generation(`"state":"failed","failure_code":"generation_failed","failure_reason":"Internal error"`), Want: failed(provider.CauseUnspecified, "generation_failed: Internal error")},
	{Name: "failed, code alone", Body: generation(`"state":"failed","failure_code":"content_moderated","failure_reason":null`), Want: failed(provider.CauseModerated, "content_moderated")},
	{Name: "failed, reason alone", Body: generation(`"state":"failed","failure_reason":"no"`), Want: failed(provider.CauseUnspecified, "no")},
	{Name: "failed, nulls", Body: generation(`"state":"failed","failure_code":null,"failure_reason":null`), Want: failed(provider.CauseUnspecified, "")},
	{Name: "failed, nothing", Body: generation(`"state":"failed"`), Want: failed(provider.CauseUnspecified, "")},
	{Name: "failed, odd types", Body: generation(`"state":"failed","failure_code":7,"failure_reason":["no"]`), Want: failed(provider.CauseUnspecified, `7: ["no"]`)},
	{Name: "failed, code in other letters", Body: generation(`"state":"failed","failure_code":" Content_Moderated"`), Want: failed(provider.CauseModerated, "Content_Moderated")},
	{
		Name: "failed, source echoed",
		Body: generation(`"state":"failed","failure_code":"corrupt_input","failure_reason":"can't decode https://b.example/in.mp4?sig=s3cr3t"`),
		Want: failed(provider.CauseInputUnsupported, "corrupt_input: can't decode https://b.example/[redacted]"),
	},
}

func generation(fields string) string { return `{"id":"` + taskID + `",` + fields + `}` }

func unread(what string, links ...string) provider.Status {
	return provider.Status{Phase: provider.Succeeded, ResultURLs: links, Unread: what}
}

func succeeded(links ...string) provider.Status {
	return provider.Status{Phase: provider.Succeeded, ResultURLs: links}
}

func failed(cause provider.Cause, message string) provider.Status {
	return provider.Status{Phase: provider.Failed, Cause: cause, Message: message}
}

func TestCheck_ReadsEveryGeneration(t *testing.T) {
	t.Parallel()
	adapter().TestReadings(t, taskID, generations)
}

func TestCheck_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	var got []string
	url, _ := wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = []string{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Accept")}
		_, _ = w.Write([]byte(`{"state":"queued"}`))
	})
	status, err := newProvider(t, url).Check(t.Context(), provider.Query{TaskID: "../a b?c", Submitted: time.Now()})
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
	adapter().TestUnreadable(t, taskID, []wiretest.Answer{
		{Name: "unknown state", Body: generation(`"state":"pondering"`), Want: `state "pondering"`},
		{Name: "state of another word", Body: generation(`"state":"complete","output":[{"type":"video","url":"https://h/1.mp4"}]`), Want: `state "complete"`},
		{Name: "state of another type", Body: generation(`"state":1`), Want: "state 1"},
		{Name: "no state", Body: generation(`"output":[{"type":"video","url":"https://h/1.mp4"}]`), Want: "state"},
		{Name: "another generation", Body: `{"id":"U","state":"completed","output":[{"type":"video","url":"https://h/1.mp4"}]}`},
		{Name: "no object", Body: `[` + documentedGeneration + `]`},
		{Name: "page", Body: `<html>`, Want: "<html>"},
		{Name: "cut", Body: documentedGeneration[:100]},
		{Name: "empty", Body: ``},
		{Name: "null", Body: `null`, Want: "null"},
	})
}

func TestCheck_WaitsForAGenerationThatIsNotVisibleYet(t *testing.T) {
	t.Parallel()
	p := answering(t, http.StatusNotFound, `{"detail":"Generation not found"}`)
	status, err := p.Check(t.Context(), provider.Query{TaskID: taskID, Submitted: time.Now()})
	if err != nil || status.Phase != provider.Running {
		t.Errorf("right after submission: %v, %v; want running", status.Phase, err)
	}
	_, err = p.Check(t.Context(), provider.Query{TaskID: taskID, Submitted: time.Now().Add(-lumalabs.VisibilityGrace)})
	wiretest.WantClass(t, err, provider.NotFound)

	invisible := func(age time.Duration) (provider.Status, *provider.Error) {
		return p.ReadCheck(nil, &provider.Error{Class: provider.NotFound, Op: string(wire.OpCheck)}, taskID, age)
	}
	if status, perr := invisible(lumalabs.VisibilityGrace - 1); perr != nil || status.Phase != provider.Running {
		t.Errorf("just inside the grace: %v, %v; want running", status.Phase, perr)
	}
	if _, perr := invisible(lumalabs.VisibilityGrace); perr == nil || perr.Class != provider.NotFound {
		t.Errorf("at its end: %v; want not found", perr)
	}
}

func TestCheck_KeepsAtMostSoManyLinks(t *testing.T) {
	t.Parallel()
	links := `{"type":"video","url":"https://h/0.mp4"}`
	for i := range 2 * wire.MaxLinks {
		links += fmt.Sprintf(`,{"type":"video","url":"https://h/%d.mp4"}`, i+1)
	}
	p := answering(t, http.StatusOK, generation(`"state":"completed","output":[`+links+`]`))
	status, err := p.Check(t.Context(), provider.Query{TaskID: taskID, Submitted: longAgo()})
	if err != nil || len(status.ResultURLs) != wire.MaxLinks {
		t.Errorf("%d links, %v; want %d", len(status.ResultURLs), err, wire.MaxLinks)
	}
}
