package kie

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestSubmit_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*provider.Submission)
		want   string
	}{
		{
			name:   "with all fields",
			change: func(s *provider.Submission) { s.Watermark = "wm-1" },
			want: `{"prompt":"A city at night <with> \"spires\" & stars","videoUrl":"https://example.com/input-video.mp4?a=1&b=2",` +
				`"callBackUrl":"` + submission.CallbackURL + `","watermark":"wm-1"}`,
		},
		{
			name:   "without optional fields",
			change: func(s *provider.Submission) { s.CallbackURL = "" },
			want:   `{"prompt":"A city at night <with> \"spires\" & stars","videoUrl":"https://example.com/input-video.mp4?a=1&b=2"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			url, requests := wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = []string{
					r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Header.Get("Accept"),
					strings.TrimSpace(string(body)), strconv.FormatBool(r.ContentLength == int64(len(body))),
				}
				if !strings.HasPrefix(r.UserAgent(), "Refract/") {
					t.Errorf("User-Agent is %q", r.UserAgent())
				}
				_, _ = io.WriteString(w, accepted)
			})
			s := submission
			tt.change(&s)
			id, err := newProvider(t, url+"/").Submit(t.Context(), s)
			if err != nil || id != taskID {
				t.Fatalf("Submit = %q, %v; want %q", id, err, taskID)
			}
			want := []string{
				"POST", "/api/v1/modify/generate", "Bearer " + testKey, "application/json", "application/json",
				tt.want, "true",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestSubmit_AcceptsTheFieldVariantsOfSuccess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"code in a string", 200, `{"code":"200","message":"ok","data":{"taskId":"veo_task_1"}}`, "veo_task_1"},
		{"another 2xx", 201, `{"code":200,"data":{"taskId":"T"}}`, "T"},
		{"unknown fields", 200, `{"code":200,"x":[1],"data":{"taskId":"T","recordId":7}}`, "T"},
		{"fields of odd types", 200, `{"code":200,"msg":{"en":"ok"},"data":{"taskId":"T"}}`, "T"},
		{"longest id", 200, `{"code":200,"data":{"taskId":"` + strings.Repeat("a", 128) + `"}}`, strings.Repeat("a", 128)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := answering(t, tt.status, tt.body).Submit(t.Context(), submission)
			if err != nil || got != tt.want {
				t.Errorf("Submit = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestSubmit_IsAmbiguousWhenTheAnswerProvesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		body   string
	}{
		{"empty", 200, ``},
		{"page", 200, `<html>hello</html>`},
		{"cut JSON", 200, accepted[:40]},
		{"JSON that is no object", 200, `[200]`},
		{"null", 200, `null`},
		{"no code", 200, `{"msg":"success","data":{"taskId":"T"}}`},
		{"code of another type", 200, `{"code":true,"data":{"taskId":"T"}}`},
		{"code 0", 200, `{"code":0,"data":{"taskId":"T"}}`},
		{"huge code", 200, `{"code":20000000000000000000,"data":{"taskId":"T"}}`},
		{"no data", 200, `{"code":200,"msg":"success"}`},
		{"data null", 200, `{"code":200,"msg":"success","data":null}`},
		{"data a string", 200, `{"code":200,"data":"T"}`},
		{"no id", 200, `{"code":200,"data":{}}`},
		{"id null", 200, `{"code":200,"data":{"taskId":null}}`},
		{"id a number", 200, `{"code":200,"data":{"taskId":7}}`},
		{"id empty", 200, `{"code":200,"data":{"taskId":""}}`},
		{"id too long", 200, `{"code":200,"data":{"taskId":"` + strings.Repeat("a", 129) + `"}}`},
		{"id with a line break", 200, `{"code":200,"data":{"taskId":"a\nb"}}`},
		{"id with a broken byte", 200, "{\"code\":200,\"data\":{\"taskId\":\"a\xffb\"}}"},
		{"refusal that names a task", 422, `{"code":422,"msg":"no","data":{"taskId":"T"}}`},
		{"blocked, and names a task", 200, `{"code":402,"msg":"no","data":{"taskId":"T"}}`},
		{"code 200 beside HTTP 500", 500, accepted},
		{"page beside HTTP 502", 502, `<html>bad gateway</html>`},
		{"longer than an answer may be", 200, accepted + strings.Repeat(" ", wire.MaxAnswer)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			perr := wiretest.WantClass(t, wiretest.Do(t, answering(t, tt.status, tt.body), wire.OpSubmit), provider.Ambiguous)
			if perr.Pause != "" {
				t.Errorf("pause is %q, want none", perr.Pause)
			}
		})
	}
}
