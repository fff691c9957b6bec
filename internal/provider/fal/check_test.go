package fal

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// reply is an answer of the queue.
type reply struct {
	status int
	body   string
}

// serving returns an adapter, and the paths it asked for. The queue answers about the status, and about the result.
func serving(t *testing.T, status, result reply) (p *Provider, asked *[]string) {
	t.Helper()
	asked = new([]string)
	url, _ := wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.RequestURI+" "+r.Header.Get("Authorization"))
		a := result
		if strings.HasSuffix(r.URL.Path, "/status") {
			a = status
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	})
	return newProvider(t, url), asked
}

func old(change ...func(*provider.Query)) provider.Query {
	q := provider.Query{TaskID: taskID, Remote: remote, Submitted: time.Now().Add(-time.Hour)}
	for _, f := range change {
		f(&q)
	}
	return q
}

const (
	completed = `{"status":"COMPLETED","request_id":"` + taskID + `","logs":null,"metrics":{"inference_time":12.5}}`
	video     = `{"video":{"url":"https://v3b.fal.media/files/b/x.mp4","content_type":"video/mp4","file_name":"x.mp4","file_size":7}}`
)

// readings are answers about a request that ended or runs, and what they mean.
var readings = []struct {
	name           string
	status, result reply
	want           provider.Status
}{
	{"queued", reply{202, `{"status":"IN_QUEUE","queue_position":3}`}, reply{}, provider.Status{Phase: provider.Running}},
	{"running", reply{202, `{"status":"IN_PROGRESS","logs":null}`}, reply{}, provider.Status{Phase: provider.Running}},
	{"running, with HTTP 200", reply{200, `{"status":" in_progress "}`}, reply{}, provider.Status{Phase: provider.Running}},
	{"done", reply{200, completed}, reply{200, video}, succeeded("https://v3b.fal.media/files/b/x.mp4")},
	{"done, with HTTP 202", reply{202, completed}, reply{200, video}, succeeded("https://v3b.fal.media/files/b/x.mp4")},
	{"done, the link alone", reply{200, completed}, reply{200, `{"video":"https://h/x.mp4"}`}, succeeded("https://h/x.mp4")},
	{"done, a list", reply{200, completed}, reply{200, `{"video":[{"url":"https://h/x.mp4"}]}`}, succeeded("https://h/x.mp4")},
	{"done, without a video", reply{200, completed}, reply{200, `{"video":null}`}, succeeded()},
	{
		"done, something else",
		reply{200, completed},
		reply{200, `{"video":{"path":"/tmp/x.mp4"}}`},
		provider.Status{Phase: provider.Succeeded, Unread: `video can't be read: {"path":"/tmp/x.mp4"}`},
	},
	{
		"failed on the platform",
		reply{200, `{"status":"COMPLETED","error":"Runner gone","error_type":"runner_disconnected"}`},
		reply{},
		provider.Status{Phase: provider.Failed, Message: "runner_disconnected: Runner gone"},
	},
	{
		"timed out",
		reply{200, `{"status":"COMPLETED","error":"Request timed out","error_type":"request_timeout"}`},
		reply{},
		provider.Status{Phase: provider.Failed, Message: "request_timeout: Request timed out"},
	},
	{
		"malformed",
		reply{200, `{"status":"COMPLETED","error":"bad header","error_type":"bad_request"}`},
		reply{},
		provider.Status{Phase: provider.Failed, Cause: provider.CauseInputRejected, Message: "bad_request: bad header"},
	},
	{
		"moderated, as the status says",
		reply{200, `{"status":"COMPLETED","error":"flagged","error_type":"content_policy_violation"}`},
		reply{},
		provider.Status{Phase: provider.Failed, Cause: provider.CauseModerated, Message: "content_policy_violation: flagged"},
	},
	{
		"moderated, as the result says",
		reply{200, `{"status":"COMPLETED","error":"Invalid status code: 422"}`},
		reply{422, `{"detail":[{"loc":["body","prompt"],"msg":"flagged","type":"content_policy_violation","input":"x"}]}`},
		provider.Status{Phase: provider.Failed, Cause: provider.CauseModerated, Message: "content_policy_violation: flagged (body.prompt)"},
	},
	{
		"failed, as only the result says",
		reply{200, completed},
		reply{422, `{"detail":[{"loc":["body","video_url"],"msg":"can't fetch https://example.com/a.mp4?sig=s3cr3t","type":"file_download_error"}]}`},
		provider.Status{Phase: provider.Failed, Cause: provider.CauseInputUnreachable, Message: "file_download_error: can't fetch https://example.com/[redacted] (body.video_url)"},
	},
	{
		"failed, without a type",
		reply{200, completed},
		reply{422, `{"detail":"no frames"}`},
		provider.Status{Phase: provider.Failed, Cause: provider.CauseInputRejected, Message: "no frames"},
	},
	{
		"failed, and the result is gone",
		reply{200, `{"status":"COMPLETED","error":"oh"}`},
		reply{404, `{"detail":"not found"}`},
		provider.Status{Phase: provider.Failed, Message: "oh"},
	},
	{
		"failed, and the result is a page",
		reply{200, `{"status":"COMPLETED","error":"oh","error_type":"odd"}`},
		reply{502, `<html>`},
		provider.Status{Phase: provider.Failed, Message: "odd: oh"},
	},
	{
		"failed, whatever the result says",
		reply{200, `{"status":"COMPLETED","error":"oh"}`},
		reply{200, video},
		provider.Status{Phase: provider.Failed, Message: "oh"},
	},
	{
		"the model broke",
		reply{200, `{"status":"COMPLETED","error":"oh"}`},
		reply{500, `{"detail":[{"loc":["body"],"msg":"sorry","type":"odd"}]}`},
		provider.Status{Phase: provider.Failed, Message: "odd: sorry (body)"},
	},
	{
		"the model broke, as only the result says",
		reply{200, completed},
		reply{504, `{"detail":[{"loc":["body"],"msg":"too slow","type":"generation_timeout"}]}`},
		provider.Status{Phase: provider.Failed, Message: "generation_timeout: too slow (body)"},
	},
	{
		"a service of the model broke, as only the result says",
		reply{200, completed},
		reply{400, `{"detail":[{"loc":["body"],"msg":"sorry","type":"downstream_service_error"}]}`},
		provider.Status{Phase: provider.Failed, Message: "downstream_service_error: sorry (body)"},
	},
	{
		"the platform broke, and the result says how",
		reply{200, `{"status":"COMPLETED","error":"oh"}`},
		reply{503, `{"detail":"none free","error_type":"runner_scheduling_failure"}`},
		provider.Status{Phase: provider.Failed, Message: "runner_scheduling_failure: none free"},
	},
	{
		"failed, and the key may not read why",
		reply{200, `{"status":"COMPLETED","error":"oh"}`},
		reply{401, `{"detail":"no","error_type":"bad_request"}`},
		provider.Status{Phase: provider.Failed, Message: "oh"},
	},
	{
		"failed, and too many questions",
		reply{200, `{"status":"COMPLETED","error":"oh"}`},
		reply{429, `{"detail":[{"loc":["body"],"msg":"slow down","type":"content_policy_violation"}]}`},
		provider.Status{Phase: provider.Failed, Message: "oh"},
	},
	{
		"several details",
		reply{200, completed},
		reply{422, `{"detail":["x",{"loc":[],"msg":"a","type":"greater_than"},{"loc":["body",0],"msg":"b","type":"file_too_large"},{"msg":"c","type":"content_policy_violation"},{"msg":"d","type":"image_load_error"}]}`},
		provider.Status{Phase: provider.Failed, Cause: provider.CauseModerated, Message: "content_policy_violation: c"},
	},
	{
		"two details",
		reply{200, completed},
		reply{422, `{"detail":[{"loc":[],"msg":"a","type":"greater_than"},{"loc":["body",0],"msg":"b","type":"file_too_large"}]}`},
		provider.Status{Phase: provider.Failed, Cause: provider.CauseInputTooLarge, Message: "file_too_large: b (body.0)"},
	},
}

func succeeded(links ...string) provider.Status {
	return provider.Status{Phase: provider.Succeeded, ResultURLs: links}
}

func TestCheck_ReadsEveryAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range readings {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, asked := serving(t, tt.status, tt.result)
			got, err := p.Check(t.Context(), old())
			if err != nil {
				t.Fatalf("Check: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			wiretest.CheckStatus(t, got)
			want := []string{"GET /fal-ai/luma-dream-machine/requests/" + taskID + "/status Key " + wiretest.Key}
			if tt.result.status != 0 {
				want = append(want, "GET /fal-ai/luma-dream-machine/requests/"+taskID+" Key "+wiretest.Key)
			}
			if diff := cmp.Diff(want, *asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheck_IsUnavailableWhereNothingIsCertain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ status, result reply }{
		"no status":                 {reply{200, `{"request_id":"` + taskID + `"}`}, reply{}},
		"an unknown status":         {reply{200, `{"status":"PAUSED"}`}, reply{}},
		"a status that is no word":  {reply{200, `{"status":7}`}, reply{}},
		"another request":           {reply{200, `{"status":"COMPLETED","request_id":"U"}`}, reply{200, video}},
		"a page":                    {reply{200, `<html>`}, reply{}},
		"completed, with HTTP 500":  {reply{500, completed}, reply{200, video}},
		"completed, with HTTP 400":  {reply{400, completed}, reply{200, video}},
		"the result comes too late": {reply{200, completed}, reply{400, `{"detail":"Request is still in progress"}`}},
		"the result is a page":      {reply{200, completed}, reply{200, `<html>`}},
		"the result is a list":      {reply{200, completed}, reply{200, `[]`}},
		"no server":                 {reply{200, completed}, reply{502, `<html>`}},
		"an error without a type":   {reply{200, completed}, reply{500, `{"detail":"oh"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := serving(t, tt.status, tt.result)
			_, err := p.Check(t.Context(), old())
			wiretest.WantClass(t, err, provider.Unavailable)
		})
	}
}

func TestCheck_AnErrorOfTheQuestionIsNoFailureOfTheRequest(t *testing.T) {
	t.Parallel()
	const (
		typed = `{"detail":"no","error_type":"x"}`
		known = `{"detail":"no","error_type":"internal_error"}`
		model = `{"detail":[{"loc":["body"],"msg":"no","type":"internal_server_error"}]}`
	)
	for _, tt := range []struct {
		status int
		bodies []string
		want   provider.Class
	}{
		{400, []string{typed, known}, provider.Unavailable},
		{401, []string{typed, known, model}, provider.AccountBlocked},
		{403, []string{typed, known, model}, provider.AccountBlocked},
		{404, []string{typed, known, model}, provider.NotFound},
		{408, []string{typed, known, model}, provider.Unavailable},
		{409, []string{typed, known, model}, provider.Unavailable},
		{410, []string{typed, known, model}, provider.Unavailable},
		{429, []string{typed, known, model}, provider.RateLimited},
		{499, []string{typed, known, model}, provider.Unavailable},
		{500, []string{typed, known}, provider.Unavailable},
		{503, []string{typed, known}, provider.Unavailable},
		{504, []string{typed, known}, provider.Unavailable},
	} {
		for _, body := range tt.bodies {
			t.Run(strconv.Itoa(tt.status)+" "+body, func(t *testing.T) {
				t.Parallel()
				p, _ := serving(t, reply{200, completed}, reply{tt.status, body})
				got, err := p.Check(t.Context(), old())
				if err == nil {
					t.Fatalf("Check = %+v, want an error", got)
				}
				wiretest.WantClass(t, err, tt.want)
			})
		}
	}
}

func TestCheck_IsRunningUntilARequestCanBeSeen(t *testing.T) {
	t.Parallel()
	gone := reply{404, `{"detail":"Request not found"}`}
	for _, tt := range []struct {
		name           string
		status, result reply
	}{{"status", gone, gone}, {"result", reply{200, completed}, gone}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, _ := serving(t, tt.status, tt.result)
			q := old(func(q *provider.Query) { q.Submitted = time.Now() })
			if got, err := p.Check(t.Context(), q); err != nil || got.Phase != provider.Running {
				t.Errorf("young: %+v, %v", got, err)
			}
			_, err := p.Check(t.Context(), old())
			wiretest.WantClass(t, err, provider.NotFound)
		})
	}
}

func TestCheck_AsksAtTheAddressesOfTheReceipt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handle string // With {base} for the configured host.
		want   []string
	}{
		"own host":     {"{base}/v2/a/status {base}/v2/b", []string{"/v2/a/status", "/v2/b"}},
		"another host": {"http://evil.example.com/a {base}/b", []string{"/fal-ai/luma-dream-machine/requests/" + taskID + "/status", "/fal-ai/luma-dream-machine/requests/" + taskID}},
		"half":         {"{base}/v2/a/status", []string{"/fal-ai/luma-dream-machine/requests/" + taskID + "/status", "/fal-ai/luma-dream-machine/requests/" + taskID}},
		"nothing":      {"", []string{"/fal-ai/luma-dream-machine/requests/" + taskID + "/status", "/fal-ai/luma-dream-machine/requests/" + taskID}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, asked := serving(t, reply{200, completed}, reply{200, video})
			_, err := p.Check(t.Context(), old(func(q *provider.Query) {
				q.Handle = strings.ReplaceAll(tt.handle, "{base}", p.wire.BaseURL())
			}))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range *asked {
				got = append(got, strings.Fields(line)[1])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheck_ASubmissionWithoutAModelCannotBeAsked(t *testing.T) {
	t.Parallel()
	p, asked := serving(t, reply{200, completed}, reply{200, video})
	for _, remote := range []string{"", "modify", "../x", "a/.."} {
		_, err := p.Check(t.Context(), old(func(q *provider.Query) { q.Remote = remote }))
		wiretest.WantClass(t, err, provider.Unavailable)
	}
	if len(*asked) != 0 {
		t.Errorf("requests %q, want none", *asked)
	}
}
