package kie

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

const promptJSON = `"{\"callBackUrl\":\"https://b7af305f36d6.ngrok-free.app/api/v1/modify/test\",\"prompt\":\"A futuristic cityscape at night\",` +
	`\"videoUrl\":\"https://tempfile.aiquickdraw.com/kieai/file/veo3-video/1755074605154fqb0m8ge.mp4\",\"waterMark\":\"\"}"`

func TestCallback_ReadsEveryDocumentedShape(t *testing.T) {
	t.Parallel()
	succeeded := func(id string, links ...string) provider.Callback {
		return provider.Callback{ProviderTaskID: id, Status: provider.Status{Phase: provider.Succeeded, ResultURLs: links}}
	}
	unread := func(what string, links ...string) provider.Callback {
		return provider.Callback{ProviderTaskID: "T", Status: provider.Status{Phase: provider.Succeeded, ResultURLs: links, Unread: what}}
	}
	failed := func(id string, code int, message string) provider.Callback {
		return provider.Callback{ProviderTaskID: id, Status: provider.Status{Phase: provider.Failed, Code: code, Message: message}}
	}
	const result = "https://tempfile.aiquickdraw.com/l/f782018c-6be4-4990-96ba-7231cd5a39e7.mp4"
	for _, tt := range []struct {
		name, body string
		want       provider.Callback
	}{
		{
			"success",
			`{"code": 200, "msg": "Modify record generated successfully.", "data": {"taskId": "` + taskID + `", "promptJson": ` + promptJSON + `, "resultUrls": ["` + result + `"]}}`,
			succeeded(taskID, result),
		},
		{
			"failure",
			`{"code": 500, "msg": "Modify record generation failed.", "data": {"taskId": "` + taskID + `", "promptJson": ` + promptJSON + `}}`,
			failed(taskID, 500, "Modify record generation failed."),
		},
		{"Runway", `{"code":400,"msg":"no","data":{"task_id":"T","video_id":"","video_url":"","image_url":""}}`, failed("T", 400, "no")},
		{"Veo", `{"code":422,"msg":"no","data":{"taskId":"T","fallbackFlag":false}}`, failed("T", 422, "no")},
		{"Suno", `{"code":501,"msg":"no","data":{"callbackType":"error","task_id":"T","data":null}}`, failed("T", 501, "no")},
		{"Suno with error", `{"code":400,"msg":"no","data":{"callbackType":"error","task_id":"T","error":"x"}}`, failed("T", 400, "no")},
		{"Suno lyrics", `{"code":531,"msg":"no","data":{"callbackType":"error","taskId":"T"}}`, failed("T", 531, "no")},
		{"Aleph", `{"code":400,"msg":"no","taskId":"T"}`, failed("T", 400, "no")},
		{"Aleph, data null", `{"code":400,"msg":"no","data":null,"taskId":"T"}`, failed("T", 400, "no")},
		{"root task_id", `{"code":400,"msg":"no","task_id":"T"}`, failed("T", 400, "no")},
		{"webhook guide", `{"taskId":"T","code":200,"msg":"Success","data":{"task_id":"T","callbackType":"task_completed"}}`, succeeded("T")},
		{"Market job", `{"code":501,"msg":"no","data":{"taskId":"T","state":"fail","failCode":"501","failMsg":"x","resultJson":"{}"}}`, failed("T", 501, "x")},
		{"id in four places", `{"taskId":"T","task_id":"T","code":200,"data":{"task_id":"T","taskId":"T"}}`, succeeded("T")},
		{"empty ids and one that is not", `{"taskId":"","task_id":null,"code":200,"data":{"task_id":"T","taskId":""}}`, succeeded("T")},
		{"promptJson an object", `{"code":200,"data":{"taskId":"T","promptJson":{"callBackUrl":"https://h/x"},"resultUrls":["https://h/1"]}}`, succeeded("T", "https://h/1")},
		{"code in a string", `{"code":"200","data":{"taskId":"T"}}`, succeeded("T")},
		{"another 2xx is no success", `{"code":201,"data":{"taskId":"T","resultUrls":["https://h/1"]}}`, failed("T", 201, "")},
		{"message for msg", `{"code":500,"message":"no","data":{"taskId":"T"}}`, failed("T", 500, "no")},
		{"fields of odd types", `{"code":500,"msg":{"en":"no"},"data":{"taskId":"T","resultUrls":7}}`, failed("T", 500, `{"en":"no"}`)},
		{"links that are none", `{"code":200,"data":{"taskId":"T","resultUrls":["",null,"javascript:x","/a","http://h/a"]}}`, unread(`resultUrls can't be read: ["",null,"javascript:x","/a","http://h/[redacted]"]`, "http://h/a")},
		{"links in a string", `{"code":200.0,"data":{"taskId":" T ","resultUrls":"[\" https://h/1\",\"https://h/1\"]"}}`, succeeded("T", "https://h/1")},
		{"objects with links", `{"code":200,"data":{"taskId":"T","resultUrls":[{"url":"https://h/1"}]}}`, succeeded("T", "https://h/1")},
		{"data in a string", `{"code":200,"data":"{\"taskId\":\"T\",\"resultUrls\":\"https://h/1\"}"}`, succeeded("T", "https://h/1")},
		{"links of an odd type", `{"code":200,"data":{"taskId":"T","resultUrls":7}}`, unread("resultUrls can't be read: 7")},
		{"origins are not results", `{"code":200,"data":{"taskId":"T","originUrls":["https://h/in.mp4"]}}`, succeeded("T")},
		{
			"callback URL echoed",
			`{"code":500,"msg":"calling ` + submission.CallbackURL + ` ` + testToken + `","data":{"taskId":"T","promptJson":{"callBackUrl":"` + submission.CallbackURL + `"}}}`,
			failed("T", 500, "calling [redacted] [redacted]"),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := newProvider(t, "").Callback(t.Context(), http.Header{}, []byte(tt.body), time.Now())
			if err != nil {
				t.Fatalf("Callback: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("callback (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCallback_RefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	adapter().TestMalformed(t, map[string]string{
		"empty":                ``,
		"no JSON":              `<html>`,
		"cut JSON":             `{"code":200,"data":{"taskId":"T"`,
		"two values":           `{"code":200,"data":{"taskId":"T"}}{}`,
		"null":                 `null`,
		"array":                `[{"taskId":"T"}]`,
		"no id":                `{"code":400,"msg":"Generation failed","data":{}}`,
		"data null":            `{"code":400,"msg":"Generation failed","data":null}`,
		"data absent":          `{"code":400,"msg":"Generation failed"}`,
		"data an array":        `{"code":200,"data":[{"taskId":"T"}]}`,
		"id a number":          `{"code":200,"data":{"taskId":7}}`,
		"id too long":          `{"code":200,"data":{"taskId":"` + strings.Repeat("a", 129) + `"}}`,
		"id not printable":     `{"code":200,"data":{"taskId":"a\u0000b"}}`,
		"id of another case":   `{"code":200,"data":{"TASKID":"T"}}`,
		"ids differ in data":   `{"code":200,"data":{"taskId":"T","task_id":"U"}}`,
		"ids differ over root": `{"code":200,"taskId":"U","data":{"task_id":"T"}}`,
		"last id differs":      `{"code":200,"taskId":"T","task_id":"U","data":{"taskId":"T","task_id":"T"}}`,
		"no code":              `{"data":{"taskId":"T","resultUrls":["https://h/1"]}}`,
		"code null":            `{"code":null,"data":{"taskId":"T"}}`,
		"code a word":          `{"code":"OK","data":{"taskId":"T"}}`,
		"nested without end":   `{"data":` + strings.Repeat(`[`, 100_000),
	})
}
