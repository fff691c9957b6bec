package luma

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/lumalabs"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// generations are all that an answer or a callback can say, and what it means.
var generations = []wiretest.Reading{
	{Name: "documented example", Body: documentedGeneration, Want: succeeded("https://storage.cdn-luma.com/.../x.mp4")},
	{Name: "just accepted", Body: accepted, Want: provider.Status{Phase: provider.Running}},
	{Name: "dreaming", Body: generation(`"state":"dreaming","assets":{"video":null,"progress_video":"https://h/p.mp4"}`), Want: provider.Status{Phase: provider.Running}},
	{Name: "dreaming, video already there", Body: generation(`"state":"dreaming","assets":{"video":"https://h/1.mp4"}`), Want: provider.Status{Phase: provider.Running}},
	{Name: "dreaming, odd assets", Body: generation(`"state":"dreaming","assets":7`), Want: provider.Status{Phase: provider.Running}},
	{Name: "completed", Body: generation(`"state":"completed","assets":{"video":"https://h/1.mp4?s=1"}`), Want: succeeded("https://h/1.mp4?s=1")},
	{Name: "completed, assets null", Body: generation(`"state":"completed","assets":null`), Want: succeeded()},
	{Name: "completed, assets absent", Body: generation(`"state":"completed"`), Want: succeeded()},
	{Name: "completed, video null", Body: generation(`"state":"completed","assets":{"video":null}`), Want: succeeded()},
	{Name: "completed, no link", Body: generation(`"state":"completed","assets":{"video":"file:///etc/passwd"}`), Want: unread(`video can't be read: "file:///etc/passwd"`)},
	{Name: "completed, a list of links", Body: generation(`"state":"completed","assets":{"video":["https://h/1.mp4"]}`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, an object", Body: generation(`"state":"completed","assets":{"video":{"url":" https://h/1.mp4 "}}`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, a list in a string, with repetitions", Body: generation(`"state":"completed","assets":{"video":"[\"https://h/1.mp4\",\"https://h/1.mp4\"]"}`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, assets in a string", Body: generation(`"state":"completed","assets":"{\"video\":\"https://h/1.mp4\"}"`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, assets a link", Body: generation(`"state":"completed","assets":"https://h/1.mp4"`), Want: unread(`assets can't be read: "https://h/[redacted]"`)},
	{Name: "completed, assets a list", Body: generation(`"state":"completed","assets":[7]`), Want: unread(`assets can't be read: [7]`)},
	{Name: "completed, in other letters", Body: generation(`"state":" Completed ","assets":{"video":"https://h/1.mp4"}`), Want: succeeded("https://h/1.mp4")},
	{Name: "completed, only by-products", Body: generation(`"state":"completed","assets":{"image":"https://h/1.png","progress_video":"https://h/p.mp4"}`), Want: succeeded()},
	{Name: "completed, only the source", Body: generation(`"state":"completed","request":{"media":{"url":"https://h/in.mp4"}}`), Want: succeeded()},
	{Name: "failed", Body: generation(`"state":"failed","failure_reason":"Job failed"`), Want: failed(provider.CauseUnspecified, "Job failed")},
	{Name: "failed, no reason", Body: generation(`"state":"failed"`), Want: failed(provider.CauseUnspecified, "")},
	{Name: "failed, reason null", Body: generation(`"state":"failed","failure_reason":null`), Want: failed(provider.CauseUnspecified, "")},
	{Name: "failed, reason of another type", Body: generation(`"state":"failed","failure_reason":{"en":"no"}`), Want: failed(provider.CauseUnspecified, `{"en":"no"}`)},
	{Name: "failed, reason an object with a message", Body: generation(`"state":"failed","failure_reason":{"message":"Frame moderation failed"}`), Want: failed(provider.CauseModerated, "Frame moderation failed")},
	{Name: "failed, prompt processing", Body: generation(`"state":"failed","failure_reason":"Prompt processing failed"`), Want: failed(provider.CauseUnspecified, "Prompt processing failed")},
	{Name: "failed, blacklisted", Body: generation(`"state":"failed","failure_reason":"Contains blacklisted words"`), Want: failed(provider.CauseModerated, "Contains blacklisted words")},
	{Name: "failed, frame", Body: generation(`"state":"failed","failure_reason":"400: Frame moderation failed."`), Want: failed(provider.CauseModerated, "400: Frame moderation failed.")},
	{Name: "failed, prompt", Body: generation(`"state":"failed","failure_reason":"advanced prompt moderation failed"`), Want: failed(provider.CauseModerated, "advanced prompt moderation failed")},
	{Name: "failed, unreachable", Body: generation(`"state":"failed","failure_reason":"Failed to read user input frames"`), Want: failed(provider.CauseInputUnreachable, "Failed to read user input frames")},
	{
		Name: "failed, callback URL echoed",
		Body: generation(`"state":"failed","request":{"callback_url":"` + wiretest.CallbackURL + `"},"failure_reason":"calling ` + wiretest.CallbackURL + ` (` + wiretest.Token + `)"`),
		Want: failed(provider.CauseUnspecified, "calling [redacted] ([redacted])"),
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
		{Name: "state of another word", Body: generation(`"state":"complete","assets":{"video":"https://h/1.mp4"}`), Want: `state "complete"`},
		{Name: "state of another type", Body: generation(`"state":1`), Want: "state 1"},
		{Name: "no state", Body: generation(`"assets":{"video":"https://h/1.mp4"}`), Want: "state"},
		{Name: "another generation", Body: `{"id":"U","state":"completed","assets":{"video":"https://h/1.mp4"}}`},
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
