package kie

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestSubmit_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	r := catalog.Request{Prompt: "A city at night <with> \"spires\" & stars", SourceURI: "https://example.com/input-video.mp4?a=1&b=2"}
	few := wiretest.SubmissionOf(t, Name, "", r, "")
	r.Watermark = "wm-1"
	all := wiretest.SubmissionOf(t, Name, "luma/ray-2-modify", r, submission.CallbackURL)
	adapter().TestRequests(t, "/", "/api/v1/modify/generate", taskID, []wiretest.Request{
		{
			Name: "with all fields", Submission: all,
			Body: `{"prompt":"A city at night <with> \"spires\" & stars","videoUrl":"https://example.com/input-video.mp4?a=1&b=2",` +
				`"callBackUrl":"` + submission.CallbackURL + `","watermark":"wm-1"}`,
		},
		{
			Name: "without optional fields", Submission: few,
			Body: `{"prompt":"A city at night <with> \"spires\" & stars","videoUrl":"https://example.com/input-video.mp4?a=1&b=2"}`,
		},
	})
}

func TestSubmit_AcceptsTheFieldVariantsOfSuccess(t *testing.T) {
	t.Parallel()
	adapter().TestAccepted(t, []wiretest.Answer{
		{Name: "code in a string", Status: 200, Body: `{"code":"200","message":"ok","data":{"taskId":"veo_task_1"}}`, Want: "veo_task_1"},
		{Name: "another 2xx", Status: 201, Body: `{"code":200,"data":{"taskId":"T"}}`, Want: "T"},
		{Name: "id as the introduction writes it", Status: 200, Body: `{"code":200,"data":{"task_id":"T"}}`, Want: "T"},
		{Name: "id in both forms", Status: 200, Body: `{"code":200,"data":{"task_id":"T","taskId":"T"}}`, Want: "T"},
		{Name: "unknown fields", Status: 200, Body: `{"code":200,"x":[1],"data":{"taskId":"T","state":7}}`, Want: "T"},
		{Name: "only a recordId", Status: 200, Body: `{"code":200,"data":{"recordId":"T"}}`, Want: "T"},
		{Name: "id in all forms", Status: 200, Body: `{"code":200,"data":{"recordId":" T","task_id":"T","taskId":"T"}}`, Want: "T"},
		{Name: "other forms empty", Status: 200, Body: `{"code":200,"data":{"recordId":"T","task_id":"","taskId":null}}`, Want: "T"},
		{Name: "fields of odd types", Status: 200, Body: `{"code":200,"msg":{"en":"ok"},"data":{"taskId":"T"}}`, Want: "T"},
		{Name: "longest id", Status: 200, Body: `{"code":200,"data":{"taskId":"` + strings.Repeat("a", 128) + `"}}`, Want: strings.Repeat("a", 128)},
	})
}

func TestSubmit_IsAmbiguousWhenTheAnswerProvesNothing(t *testing.T) {
	t.Parallel()
	adapter().TestProveNothing(t, []wiretest.Answer{
		{Name: "empty", Status: 200, Body: ``},
		{Name: "page", Status: 200, Body: `<html>hello</html>`},
		{Name: "cut JSON", Status: 200, Body: accepted[:40]},
		{Name: "JSON that is no object", Status: 200, Body: `[200]`},
		{Name: "null", Status: 200, Body: `null`},
		{Name: "no code", Status: 200, Body: `{"msg":"success","data":{"taskId":"T"}}`},
		{Name: "code of another type", Status: 200, Body: `{"code":true,"data":{"taskId":"T"}}`},
		{Name: "code 0", Status: 200, Body: `{"code":0,"data":{"taskId":"T"}}`},
		{Name: "huge code", Status: 200, Body: `{"code":20000000000000000000,"data":{"taskId":"T"}}`},
		{Name: "no data", Status: 200, Body: `{"code":200,"msg":"success"}`},
		{Name: "data null", Status: 200, Body: `{"code":200,"msg":"success","data":null}`},
		{Name: "data a string", Status: 200, Body: `{"code":200,"data":"T"}`},
		{Name: "no id", Status: 200, Body: `{"code":200,"data":{}}`},
		{Name: "id null", Status: 200, Body: `{"code":200,"data":{"taskId":null}}`},
		{Name: "id a number", Status: 200, Body: `{"code":200,"data":{"taskId":7}}`},
		{Name: "id empty", Status: 200, Body: `{"code":200,"data":{"taskId":""}}`},
		{Name: "id too long", Status: 200, Body: `{"code":200,"data":{"taskId":"` + strings.Repeat("a", 129) + `"}}`},
		{Name: "id with a line break", Status: 200, Body: `{"code":200,"data":{"taskId":"a\nb"}}`},
		{Name: "id with a broken byte", Status: 200, Body: "{\"code\":200,\"data\":{\"taskId\":\"a\xffb\"}}"},
		{Name: "refusal that names a task", Status: 422, Body: `{"code":422,"msg":"no","data":{"taskId":"T"}}`},
		{Name: "refusal that names a task in the other form", Status: 200, Body: `{"code":422,"msg":"no","data":{"task_id":"T"}}`},
		{Name: "two ids", Status: 200, Body: `{"code":200,"data":{"taskId":"T","task_id":"U"}}`},
		{Name: "recordId of another task", Status: 200, Body: `{"code":200,"data":{"taskId":"T","recordId":"U"}}`},
		{Name: "recordId a number", Status: 200, Body: `{"code":200,"data":{"taskId":"T","recordId":7}}`},
		{Name: "id a number and a recordId", Status: 200, Body: `{"code":200,"data":{"taskId":7,"recordId":"T"}}`},
		{Name: "id at the root", Status: 200, Body: `{"code":200,"taskId":"T","data":null}`},
		{Name: "blocked, and names a task", Status: 200, Body: `{"code":402,"msg":"no","data":{"taskId":"T"}}`},
		{Name: "code 200 under HTTP 500", Status: 500, Body: accepted},
		{Name: "page under HTTP 502", Status: 502, Body: `<html>bad gateway</html>`},
		{Name: "longer than an answer may be", Status: 200, Body: accepted + strings.Repeat(" ", wire.MaxAnswer)},
	})
}

func TestSubmit_IsAmbiguousWhenAnErrorNamesATask(t *testing.T) {
	t.Parallel()
	for _, code := range []int{400, 402, 404, 422, 429, 433, 455, 505} {
		for name, rest := range map[string]string{
			"recordId":               `"data":{"recordId":"` + taskID + `"}`,
			"id a number":            `"data":{"taskId":7}`,
			"id a large number":      `"data":{"taskId":1e999}`,
			"id an object":           `"data":{"taskId":{"id":"T"}}`,
			"recordId a number":      `"data":{"recordId":7}`,
			"data in a string":       `"data":"{\"recordId\":\"T\"}"`,
			"list":                   `"data":[null,{"taskId":"T"}]`,
			"root":                   `"taskId":"T","data":null`,
			"root in the other form": `"task_id":"T"`,
			"recordId at the root":   `"recordId":"T","data":{}`,
			"number at the root":     `"taskId":7`,
		} {
			t.Run(fmt.Sprintf("%d %s", code, name), func(t *testing.T) {
				t.Parallel()
				perr := wiretest.WantClass(t, submitted(t, code, rest), provider.Ambiguous)
				if perr.Code != code || perr.Pause != "" || perr.Input {
					t.Errorf("code %d, pause %q, input %v, want %d and neither", perr.Code, perr.Pause, perr.Input, code)
				}
			})
		}
	}
}

func TestSubmit_IsARefusalWhenAnErrorNamesNoTask(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]provider.Class{422: provider.Rejected, 429: provider.RateLimited, 505: provider.ModelWithdrawn} {
		for name, rest := range map[string]string{
			"no data":           `"msg":"no"`,
			"null":              `"data":null`,
			"empty string":      `"data":""`,
			"blank string":      `"data":" "`,
			"empty object":      `"data":{ }`,
			"empty list":        `"data":[ ]`,
			"empty ids at root": `"taskId":null,"task_id":"","recordId":" ","data":null`,
		} {
			t.Run(fmt.Sprintf("%d %s", code, name), func(t *testing.T) {
				t.Parallel()
				wiretest.WantClass(t, submitted(t, code, rest), want)
			})
		}
	}
}

// Data that is not understood may name a task. That a model is gone moves tasks elsewhere and closes its offering, and needs
// more proof than the refusal of one request.
func TestSubmit_AModelIsGoneOnlyIfTheAnswerHasNoData(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"id": `"` + taskID + `"`, "number": `7`, "large number": `1e999`, "false": `false`, "list of ids": `["T"]`, "other object": `{"id":"T"}`,
		"empty ids": `{"taskId":null,"recordId":""}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, code := range []int{404, 455, 505} {
				wiretest.WantClass(t, submitted(t, code, `"data":`+data), provider.Ambiguous)
			}
			wiretest.WantClass(t, submitted(t, 422, `"data":`+data), provider.Rejected)
		})
	}
}

// submitted returns the error of a submission that is answered with a code and other fields.
func submitted(t *testing.T, code int, rest string) error {
	t.Helper()
	return wiretest.Do(t, answering(t, http.StatusOK, fmt.Sprintf(`{"code":%d,%s}`, code, rest)), wire.OpSubmit)
}
