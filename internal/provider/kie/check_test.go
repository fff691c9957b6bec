package kie

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

const documentedRecord = `{"code": 200, "msg": "success", "data": {
    "taskId": "774d9a7dd608a0e49293903095e45a4c",
    "paramJson": "{\"callBackUrl\":\"https://example.com/callback\",\"prompt\":\"A futuristic cityscape\",\"videoUrl\":\"https://example.com/video.mp4\",\"waterMark\":\"\"}",
    "completeTime": 1755078480000,
    "response": {
      "taskId": "774d9a7dd608a0e49293903095e45a4c",
      "originUrls": ["https://tempfile.aiquickdraw.com/kieai/file/veo3-video/1755074605154fqb0m8ge.mp4"],
      "resultUrls": ["https://tempfile.aiquickdraw.com/l/f782018c-6be4-4990-96ba-7231cd5a39e7.mp4"]
    },
    "successFlag": 1, "createTime": 1755078171000, "errorCode": null, "errorMessage": null
}}`

func TestCheck_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	var got []string
	url, _ := wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = []string{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Accept")}
		_, _ = w.Write([]byte(documentedRecord))
	})
	_, _ = newProvider(t, url).Check(t.Context(), provider.Query{TaskID: "a b&c", Submitted: time.Now()})
	want := []string{"GET", "/api/v1/modify/record-info?taskId=a+b%26c", "Bearer " + testKey, "application/json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func record(fields string) string {
	return `{"code":200,"msg":"success","data":{"taskId":"` + taskID + `",` + fields + `}}`
}

func TestCheck_ReadsEveryRecord(t *testing.T) {
	t.Parallel()
	running := provider.Status{Phase: provider.Running}
	succeeded := func(links ...string) provider.Status {
		return provider.Status{Phase: provider.Succeeded, ResultURLs: links}
	}
	unread := func(what string, links ...string) provider.Status {
		return provider.Status{Phase: provider.Succeeded, ResultURLs: links, Unread: what}
	}
	failed := func(code int, message string) provider.Status {
		return provider.Status{Phase: provider.Failed, Code: code, Message: message}
	}
	adapter().TestReadings(t, taskID, []wiretest.Reading{
		{Name: "documented example", Body: documentedRecord, Want: succeeded("https://tempfile.aiquickdraw.com/l/f782018c-6be4-4990-96ba-7231cd5a39e7.mp4")},
		{Name: "running, nulls", Body: record(`"completeTime":null,"response":null,"successFlag":0,"errorCode":null,"errorMessage":null`), Want: running},
		{Name: "running, nothing", Body: record(`"successFlag":0`), Want: running},
		{Name: "flag in a string", Body: record(`"successFlag":"0"`), Want: running},
		{Name: "no id in the record", Body: `{"code":200,"data":{"successFlag":0}}`, Want: running},
		{Name: "success with links", Body: record(`"successFlag":1,"response":{"resultUrls":["https://h/1.mp4","http://h/2.mp4"]}`), Want: succeeded("https://h/1.mp4", "http://h/2.mp4")},
		{Name: "success, callback failed", Body: record(`"successFlag":4,"response":{"resultUrls":["https://h/1.mp4"]},"errorMessage":"callback: 503"`), Want: succeeded("https://h/1.mp4")},
		{Name: "success, response null", Body: record(`"successFlag":1,"response":null`), Want: succeeded()},
		{Name: "success, response absent", Body: record(`"successFlag":1`), Want: succeeded()},
		{Name: "success, no links", Body: record(`"successFlag":1,"response":{"resultUrls":[]}`), Want: succeeded()},
		{Name: "success, only origins", Body: record(`"successFlag":1,"response":{"originUrls":["https://h/1.mp4"]}`), Want: succeeded()},
		{Name: "links that are none", Body: record(`"successFlag":1,"response":{"resultUrls":["","/a.mp4","file:///etc/passwd","ftp://h/a","//h/a",7,null,"https://h/1.mp4"]}`), Want: unread(`resultUrls can't be read: ["","/a.mp4","file:///etc/passwd","ftp://h/a","//h/a",7,null,"https://h/[redacted]"]`, "https://h/1.mp4")},
		{Name: "one link", Body: record(`"successFlag":1,"response":{"resultUrls":"https://h/1.mp4"}`), Want: succeeded("https://h/1.mp4")},
		{Name: "a list in a string", Body: record(`"successFlag":1,"response":{"resultUrls":"[\"https://h/1.mp4\", \"https://h/2.mp4\"]"}`), Want: succeeded("https://h/1.mp4", "https://h/2.mp4")},
		{Name: "objects", Body: record(`"successFlag":1,"response":{"resultUrls":[{"url":"https://h/1.mp4"},{"url":"https://h/2.mp4","type":"video/mp4"},{"url":"https://h/c.png","type":"image"}]}`), Want: succeeded("https://h/1.mp4", "https://h/2.mp4")},
		{Name: "one object", Body: record(`"successFlag":1,"response":{"resultUrls":{"url":"https://h/1.mp4"}}`), Want: succeeded("https://h/1.mp4")},
		{Name: "objects in a string", Body: record(`"successFlag":1,"response":{"resultUrls":"[{\"url\":\"https://h/1.mp4\"}]"}`), Want: succeeded("https://h/1.mp4")},
		{Name: "blanks and repetitions", Body: record(`"successFlag":1,"response":{"resultUrls":[" https://h/1.mp4\n","https://h/1.mp4","\thttps://h/2.mp4 "]}`), Want: succeeded("https://h/1.mp4", "https://h/2.mp4")},
		{Name: "an empty string", Body: record(`"successFlag":1,"response":{"resultUrls":" "}`), Want: succeeded()},
		{Name: "a list of nulls", Body: record(`"successFlag":1,"response":{"resultUrls":[null,""]}`), Want: succeeded()},
		{Name: "several links in a string", Body: record(`"successFlag":1,"response":{"resultUrls":"https://h/1.mp4,https://h/2.mp4"}`), Want: unread(`resultUrls can't be read: "https://h/[redacted]"`)},
		{Name: "objects without url", Body: record(`"successFlag":1,"response":{"resultUrls":[{"href":"https://h/1.mp4"}]}`), Want: unread(`resultUrls can't be read: [{"href":"https://h/[redacted]"}]`)},
		{Name: "a number for links", Body: record(`"successFlag":1,"response":{"resultUrls":7}`), Want: unread(`resultUrls can't be read: 7`)},
		{Name: "half a list in a string", Body: record(`"successFlag":1,"response":{"resultUrls":"[\"https://h/1.mp4\","}`), Want: unread(`resultUrls can't be read: "[\"https://h/[redacted]","`)},
		{Name: "lists without end", Body: record(`"successFlag":1,"response":{"resultUrls":[[[[[["https://h/1.mp4"]]]]]]}`), Want: unread(`resultUrls can't be read: [[[[[["https://h/[redacted]"]]]]]]`)},
		{Name: "response in a string", Body: record(`"successFlag":1,"response":"{\"resultUrls\":[\"https://h/1.mp4\"]}"`), Want: succeeded("https://h/1.mp4")},
		{Name: "response of another kind", Body: record(`"successFlag":1,"response":["https://h/1.mp4"]`), Want: unread(`response can't be read: ["https://h/[redacted]"]`)},
		{Name: "record in a string", Body: `{"code":200,"data":"{\"successFlag\":1,\"response\":{\"resultUrls\":[\"https://h/1.mp4\"]}}"}`, Want: succeeded("https://h/1.mp4")},
		{Name: "numbers as fractions", Body: `{"code":200.0,"data":{"taskId":"` + taskID + `","successFlag":1.0,"response":{"resultUrls":["https://h/1.mp4"]}}}`, Want: succeeded("https://h/1.mp4")},
		{Name: "numbers in strings", Body: `{"code":" 200 ","data":{"taskId":" ` + taskID + ` ","successFlag":"4.0","response":{"resultUrls":["https://h/1.mp4"]}}}`, Want: succeeded("https://h/1.mp4")},
		{Name: "flag true", Body: record(`"successFlag":true,"response":{"resultUrls":["https://h/1.mp4"]}`), Want: succeeded("https://h/1.mp4")},
		{Name: "flag false", Body: record(`"successFlag":false,"errorCode":null,"errorMessage":""`), Want: running},
		{Name: "flag by name", Body: record(`"successFlag":"GENERATE_FAILED","errorCode":501.0,"errorMessage":"Generation failed"`), Want: failed(501, "Generation failed")},
		{Name: "flag by name, success", Body: record(`"successFlag":"Success","response":{"resultUrls":["https://h/1.mp4"]}`), Want: succeeded("https://h/1.mp4")},
		{Name: "failed, message an object", Body: record(`"successFlag":3,"errorMessage":{"message":"no"}`), Want: failed(0, "no")},
		{Name: "not created", Body: record(`"successFlag":2,"response":null,"errorCode":422,"errorMessage":"bad video"`), Want: failed(422, "bad video")},
		{Name: "failed", Body: record(`"successFlag":3,"response":null,"errorCode":501,"errorMessage":"Generation failed"`), Want: failed(501, "Generation failed")},
		{Name: "failed, code in a string", Body: record(`"successFlag":3,"errorCode":"501","errorMessage":"Generation failed"`), Want: failed(501, "Generation failed")},
		{Name: "failed, code a word", Body: record(`"successFlag":3,"errorCode":"NSFW","errorMessage":"refused"`), Want: failed(0, "NSFW: refused")},
		{Name: "failed, nulls", Body: record(`"successFlag":3,"errorCode":null,"errorMessage":null`), Want: failed(0, "")},
		{
			Name: "failed, callback URL echoed",
			Body: record(`"paramJson":"{\"callBackUrl\":\"` + submission.CallbackURL + `\"}","successFlag":3,"errorMessage":"calling ` + submission.CallbackURL + ` (` + testToken + `)"`),
			Want: failed(0, "calling [redacted] ([redacted])"),
		},
		{Name: "generation failed as a code", Body: `{"code":501,"msg":"Generation failed"}`, Want: failed(501, "Generation failed")},
	})
}

func TestCheck_IsUnavailableWhenTheRecordSaysNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, message string }{
		{"unknown flag", record(`"successFlag":7`), "unknown successFlag 7"},
		{"flag of another type", record(`"successFlag":[1]`), "unknown successFlag [1]"},
		{"flag that is half a number", record(`"successFlag":1.5`), "unknown successFlag 1.5"},
		{"flag false with an error", record(`"successFlag":false,"errorCode":501`), "unknown successFlag false"},
		{"no flag", record(`"x":1`), "unknown successFlag"},
		{"record of another task", `{"code":200,"data":{"taskId":"other","successFlag":1}}`, ""},
		{"data a string", `{"code":200,"data":"gone"}`, ""},
		{"cut JSON", documentedRecord[:200], "*"},
		{"page", "<html>", "<html>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			perr := wiretest.WantClass(t, wiretest.Do(t, answering(t, http.StatusOK, tt.body), wire.OpCheck), provider.Unavailable)
			if tt.message != "*" && perr.Message != tt.message {
				t.Errorf("message is %q, want %q", perr.Message, tt.message)
			}
		})
	}
}

func TestCheck_GivesATaskTimeToBecomeVisible(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"422":          {200, `{"code":422,"msg":"recordInfo is null","data":null}`},
		"404":          {200, `{"code":404,"msg":"Task not found"}`},
		"HTTP 404":     {404, `{"code":404,"msg":"Task not found"}`},
		"data null":    {200, `{"code":200,"msg":"success","data":null}`},
		"data missing": {200, `{"code":200,"msg":"success"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := answering(t, answer.status, answer.body)
			status, err := p.Check(t.Context(), provider.Query{TaskID: taskID, Submitted: time.Now()})
			if err != nil || status.Phase != provider.Running {
				t.Errorf("right after submission: %v, %v; want running", status.Phase, err)
			}
			_, err = p.Check(t.Context(), provider.Query{TaskID: taskID, Submitted: time.Now().Add(-visibilityGrace)})
			wiretest.WantClass(t, err, provider.NotFound)
			_, err = p.Check(t.Context(), provider.Query{TaskID: taskID, Submitted: time.Time{}})
			wiretest.WantClass(t, err, provider.NotFound)
		})
	}

	p := newProvider(t, "")
	invisible := func(age time.Duration) (provider.Status, *provider.Error) {
		return p.readCheck(answer{}, checkError(provider.NotFound, 422, ""), provider.Query{TaskID: taskID}, age)
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
	links := `"https://h/0.mp4"`
	for i := range 2 * wire.MaxLinks {
		links += fmt.Sprintf(`,"https://h/%d.mp4"`, i+1)
	}
	p := answering(t, http.StatusOK, record(`"successFlag":1,"response":{"resultUrls":[`+links+`]}`))
	status, err := p.Check(t.Context(), provider.Query{TaskID: taskID, Submitted: time.Now()})
	if err != nil || len(status.ResultURLs) != wire.MaxLinks {
		t.Errorf("%d links, %v; want %d", len(status.ResultURLs), err, wire.MaxLinks)
	}
}
