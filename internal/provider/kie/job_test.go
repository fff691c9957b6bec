package kie

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

const wanRemote = "wan/2-7-videoedit"

// createdJob is the answer of createTask as it was recorded.
const createdJob = `{"code":200,"msg":"success","data":{"taskId":"` + taskID + `","recordId":"` + taskID + `"}}`

// market is the adapter with a model of the market.
func market() wiretest.Adapter {
	a := adapter()
	a.Remote, a.Accepted = wanRemote, createdJob
	return a
}

// cost returns a status with a cost.
func cost(s provider.Status, credits string) provider.Status {
	s.Cost = provider.Cost{Amount: credits, Unit: "credits"}
	return s
}

// jobOf returns a record of the market.
func jobOf(fields string) string {
	return `{"code":200,"msg":"success","data":{"taskId":"` + taskID + `","model":"` + wanRemote + `",` + fields + `}}`
}

func TestMarketExchanges(t *testing.T) {
	t.Parallel()
	wiretest.TestExchanges(t, market())
}

func TestSubmit_WrapsTheInputsOfTheMarket(t *testing.T) {
	t.Parallel()
	inputs := map[string]any{"video_urls": []any{"https://example.com/in.mp4?a=1&b=2"}, "reference_image ": []any{"https://example.com/a.png"}}
	market().TestRequests(t, "/", "/api/v1/jobs/createTask", taskID, []wiretest.Request{
		{
			Name:       "with a callback",
			Submission: provider.Submission{Remote: "happyhorse/video-edit", Inputs: inputs, CallbackURL: submission.CallbackURL},
			Body: `{"model":"happyhorse/video-edit","callBackUrl":"` + submission.CallbackURL + `",` +
				`"input":{"video_urls":["https://example.com/in.mp4?a=1&b=2"],"reference_image ":["https://example.com/a.png"]}}`,
		},
		{
			Name:       "without a callback",
			Submission: provider.Submission{Remote: wanRemote, Inputs: map[string]any{"video_url": "https://example.com/in.mp4"}},
			Body:       `{"model":"` + wanRemote + `","input":{"video_url":"https://example.com/in.mp4"}}`,
		},
	})
}

func TestSubmit_RefusesASubmissionWithoutAModel(t *testing.T) {
	t.Parallel()
	url, requests := wiretest.Serve(t, wiretest.Drop)
	_, err := newProvider(t, url).Submit(t.Context(), provider.Submission{Inputs: map[string]any{"prompt": "p"}})
	if wiretest.WantClass(t, err, provider.Rejected); requests.Load() != 0 {
		t.Errorf("%d requests, want none", requests.Load())
	}
}

func TestSubmit_AcceptsTheFieldVariantsOfTheMarket(t *testing.T) {
	t.Parallel()
	market().TestAccepted(t, []wiretest.Answer{
		{Name: "as recorded", Status: 200, Body: createdJob, Want: taskID},
		{Name: "no recordId", Status: 200, Body: `{"code":200,"msg":"success","data":{"taskId":"task_12345678"}}`, Want: "task_12345678"},
		{Name: "only a recordId", Status: 200, Body: `{"code":200,"msg":"success","data":{"recordId":"T"}}`, Want: "T"},
		{Name: "message for msg", Status: 200, Body: `{"code":200,"message":"success","data":{"taskId":"T"}}`, Want: "T"},
		{Name: "code in a string", Status: 200, Body: `{"code":"200","msg":"success","data":{"taskId":"T"}}`, Want: "T"},
	})
	market().TestProveNothing(t, []wiretest.Answer{
		{Name: "recordId of another task", Status: 200, Body: `{"code":200,"msg":"success","data":{"taskId":"T","recordId":"U"}}`},
		{Name: "refusal that names a task", Status: 200, Body: `{"code":505,"msg":"no","data":{"taskId":"T"}}`},
	})
}

func TestCheck_AsksTheCallOfTheModel(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"":           "/api/v1/modify/record-info?taskId=T",
		modifyRemote: "/api/v1/modify/record-info?taskId=T",
		wanRemote:    "/api/v1/jobs/recordInfo?taskId=T",
	} {
		var got string
		url, _ := wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Method + " " + r.RequestURI
			_, _ = w.Write([]byte(`{"code":200,"data":{"state":"waiting","successFlag":0}}`))
		})
		status, err := newProvider(t, url).Check(t.Context(), provider.Query{TaskID: "T", Remote: remote, Submitted: time.Now()})
		if err != nil || status.Phase != provider.Running || got != "GET "+want {
			t.Errorf("%q: %v, %v after %s, want %s", remote, status.Phase, err, got, want)
		}
	}
}

// recordedJob is a record as it was recorded, with the fields that pages document besides.
const recordedJob = `"state":"success","param":"{\"model\":\"` + wanRemote + `\",\"input\":\"{\\\"video_url\\\":\\\"https://h/in.mp4\\\"}\"}",` +
	`"resultJson":"{\"resultUrls\":[\"https://tempfile.aiquickdraw.com/r/1.mp4\"]}","failCode":null,"failMsg":null,` +
	`"costTime":785,"createTime":1755078171000,"completeTime":1755078957000`

func TestCheck_ReadsEveryRecordOfTheMarket(t *testing.T) {
	t.Parallel()
	running := provider.Status{Phase: provider.Running}
	succeeded := func(links ...string) provider.Status {
		return provider.Status{Phase: provider.Succeeded, ResultURLs: links}
	}
	failed := func(code int, message string) provider.Status {
		return provider.Status{Phase: provider.Failed, Code: code, Message: message}
	}
	unread := func(what string) provider.Status {
		return provider.Status{Phase: provider.Succeeded, Unread: what}
	}
	url := submission.CallbackURL
	market().TestReadings(t, taskID, []wiretest.Reading{
		{Name: "waiting, as recorded", Body: jobOf(`"state":"waiting","param":"{}","resultJson":"","failCode":null,"failMsg":null,"costTime":null,"completeTime":null,"createTime":1755078171000`), Want: running},
		{Name: "queuing", Body: jobOf(`"state":"queuing"`), Want: running},
		{Name: "generating, with empty texts", Body: jobOf(`"state":"generating","resultJson":"","failCode":"","failMsg":"","progress":40`), Want: running},
		{Name: "success, as recorded", Body: jobOf(recordedJob), Want: succeeded("https://tempfile.aiquickdraw.com/r/1.mp4")},
		{Name: "success with later fields", Body: jobOf(recordedJob + `,"updateTime":1755078957000,"costTime":15000`), Want: succeeded("https://tempfile.aiquickdraw.com/r/1.mp4")},
		{Name: "success with copies that have a watermark", Body: jobOf(`"state":"success","resultJson":"{\"resultWaterMarkUrls\":[\"https://h/w.mp4\"],\"resultUrls\":[\"https://h/1.mp4\"]}"`), Want: succeeded("https://h/1.mp4")},
		{Name: "resultJson an object", Body: jobOf(`"state":"success","resultJson":{"resultUrls":["https://h/1.mp4"]}`), Want: succeeded("https://h/1.mp4")},
		{Name: "success without results", Body: jobOf(`"state":"success","resultJson":""`), Want: succeeded()},
		{Name: "success, resultJson null", Body: jobOf(`"state":"success","resultJson":null`), Want: succeeded()},
		{Name: "success, no resultJson", Body: jobOf(`"state":"success"`), Want: succeeded()},
		{Name: "success, empty list", Body: jobOf(`"state":"success","resultJson":"{\"resultUrls\":[]}"`), Want: succeeded()},
		{Name: "resultJson cut", Body: jobOf(`"state":"success","resultJson":"{\"resultUrls\":[\"https://h/1.mp4"`), Want: unread(`resultJson can't be read: "{\"resultUrls\":[\"https://h/[redacted]"`)},
		{Name: "source and result of another key are no results", Body: jobOf(`"state":"success","resultJson":"{\"firstFrameUrl\":\"https://h/f.png\"}"`), Want: succeeded()},
		{Name: "success with its cost", Body: jobOf(`"state":"success","resultJson":"","creditsConsumed":12.5`), Want: cost(succeeded(), "12.5")},
		{Name: "cost in a string", Body: jobOf(`"state":"success","creditsConsumed":" 8 "`), Want: cost(succeeded(), "8")},
		{Name: "cost that is no decimal", Body: jobOf(`"state":"success","creditsConsumed":1e3`), Want: succeeded()},
		{Name: "cost null", Body: jobOf(`"state":"success","creditsConsumed":null`), Want: succeeded()},
		{Name: "cost while it runs", Body: jobOf(`"state":"generating","creditsConsumed":3`), Want: running},
		{Name: "failed, free", Body: jobOf(`"state":"fail","failCode":"500","failMsg":"no","creditsConsumed":0`), Want: cost(failed(500, "no"), "0")},
		{Name: "failed, as documented", Body: jobOf(`"state":"fail","resultJson":"","failCode":"500","failMsg":"Internal server error.","costTime":0`), Want: failed(500, "Internal server error.")},
		{Name: "failed, code a number", Body: jobOf(`"state":"fail","failCode":400,"failMsg":"no"`), Want: failed(400, "no")},
		{Name: "failed, code a word", Body: jobOf(`"state":"fail","failCode":"NSFW","failMsg":"no"`), Want: failed(0, "NSFW: no")},
		{Name: "failed, nothing said", Body: jobOf(`"state":"fail"`), Want: failed(0, "")},
		{Name: "state in capitals", Body: jobOf(`"state":" SUCCESS "`), Want: succeeded()},
		{Name: "record without an id", Body: `{"code":200,"data":{"state":"waiting"}}`, Want: running},
		{Name: "code in a string", Body: `{"code":"200","message":"success","data":{"taskId":"` + taskID + `","state":"waiting"}}`, Want: running},
		{
			Name: "failed, callback URL echoed",
			Body: jobOf(`"param":"{\"callBackUrl\":\"` + url + `\",\"input\":\"{}\"}","state":"fail","failMsg":"calling ` + url + ` (` + testToken + `)"`),
			Want: failed(0, "calling [redacted] ([redacted])"),
		},
		{
			Name: "failed, callback URL echoed in the input",
			Body: jobOf(`"param":"{\"input\":\"{\\\"callBackUrl\\\":\\\"` + url + `\\\"}\"}","state":"fail","failMsg":"calling ` + url + ` (` + testToken + `)"`),
			Want: failed(0, "calling [redacted] ([redacted])"),
		},
		{Name: "generation failed as a code", Body: `{"code":501,"msg":"Generation failed"}`, Want: failed(501, "Generation failed")},
	})
}

func TestCheck_IsUnavailableWhenTheMarketSaysNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, message string }{
		{"unknown state", jobOf(`"state":"paused"`), `unknown state "paused"`},
		{"state of another type", jobOf(`"state":1`), "unknown state 1"},
		{"no state", jobOf(`"successFlag":1`), "unknown state"},
		{"record of another task", `{"code":200,"data":{"taskId":"other","state":"success"}}`, ""},
		{"data a string", `{"code":200,"data":"gone"}`, ""},
		{"upstream late", `{"code":408,"msg":"no result"}`, "no result"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			perr := wiretest.WantClass(t, market().Do(t, answering(t, http.StatusOK, tt.body), wire.OpCheck), provider.Unavailable)
			if perr.Message != tt.message {
				t.Errorf("message is %q, want %q", perr.Message, tt.message)
			}
		})
	}
}

func TestCheck_GivesATaskOfTheMarketTimeToBecomeVisible(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"recordInfo is null":    `{"code":422,"msg":"recordInfo is null","data":null}`,
		"record does not exist": `{"code":422,"msg":"Record does not exist","data":null}`,
		"404":                   `{"code":404,"msg":"Not Found"}`,
		"null under code 200":   `{"code":200,"msg":"success","data":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := answering(t, http.StatusOK, body)
			q := provider.Query{TaskID: taskID, Remote: wanRemote, Submitted: time.Now()}
			if status, err := p.Check(t.Context(), q); err != nil || status.Phase != provider.Running {
				t.Errorf("right after submission: %v, %v; want running", status.Phase, err)
			}
			q.Submitted = time.Now().Add(-visibilityGrace)
			_, err := p.Check(t.Context(), q)
			wiretest.WantClass(t, err, provider.NotFound)
		})
	}
}

func TestCallback_ReadsEveryShapeOfTheMarket(t *testing.T) {
	t.Parallel()
	envelope := func(code, fields string) string {
		return `{"code":` + code + `,"msg":"said so","data":{"taskId":"` + taskID + `","model":"` + wanRemote + `",` + fields + `}}`
	}
	succeeded := func(links ...string) provider.Status {
		return provider.Status{Phase: provider.Succeeded, ResultURLs: links}
	}
	failed := func(code int, message string) provider.Status {
		return provider.Status{Phase: provider.Failed, Code: code, Message: message}
	}
	const result = `"resultJson":"{\"resultUrls\":[\"https://h/1.mp4\"]}"`
	url := submission.CallbackURL
	for _, tt := range []struct {
		name, body string
		want       provider.Status
	}{
		{"success", envelope("200", `"state":"success",`+result+`,"param":"{}","costTime":113`), succeeded("https://h/1.mp4")},
		{"success, code in a string", envelope(`"200"`, `"state":"success",`+result), succeeded("https://h/1.mp4")},
		{"success with a balance", envelope("200", `"state":"success",`+result+`,"consumeCredits":8,"remainedCredits":5916.25`), cost(succeeded("https://h/1.mp4"), "8")},
		{"success with its cost", envelope("200", `"state":"success",`+result+`,"creditsConsumed":7.5`), cost(succeeded("https://h/1.mp4"), "7.5")},
		{"failure, free", envelope("501", `"state":"fail","failMsg":"no","creditsConsumed":0`), cost(failed(501, "no"), "0")},
		{"success without a state", envelope("200", result), succeeded("https://h/1.mp4")},
		{"success without results", envelope("200", `"state":"success","resultJson":null`), succeeded()},
		{"success, ids as in the sample of the guide", `{"taskId":"` + taskID + `","code":200,"msg":"Success","data":{"task_id":"` + taskID + `","state":"success",` + result + `}}`, succeeded("https://h/1.mp4")},
		{"failure 501", envelope("501", `"state":"fail","resultJson":null,"failCode":"500","failMsg":"Internal server error."`), failed(500, "Internal server error.")},
		{"failure 500", envelope("500", `"state":"fail"`), failed(500, "said so")},
		{"failure 400", envelope("400", `"state":"fail","failCode":400,"failMsg":"no"`), failed(400, "no")},
		{"failure under code 200", envelope("200", `"state":"fail","failCode":"422","failMsg":"no",`+result), failed(422, "no")},
		{"failure under code 200, nothing said", envelope("200", `"state":"fail"`), failed(0, "said so")},
		{"failed code with the state of a success", envelope("501", `"state":"success",`+result), failed(501, "said so")},
		{"waiting", envelope("200", `"state":"waiting","resultJson":""`), provider.Status{Phase: provider.Running}},
		{"generating", envelope("200", `"state":"generating",`+result), provider.Status{Phase: provider.Running}},
		{"a state that is not known", envelope("200", `"state":"archived",`+result), provider.Status{Phase: provider.Running}},
		{
			"callback URL echoed at both levels",
			envelope("501", `"state":"fail","param":"{\"callBackUrl\":\"`+url+`\",\"input\":\"{\\\"callBackUrl\\\":\\\"`+url+`\\\"}\"}","failMsg":"`+url+` `+testToken+`"`),
			failed(501, "[redacted] [redacted]"),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const timestamp = "1755078480"
			header := signed(timestamp, sign([]byte(vectorKey), taskID, timestamp))
			got, err := newProvider(t, "", withKeys(vectorKey)).Callback(t.Context(), header, []byte(tt.body), time.Unix(1755078480, 0))
			if err != nil {
				t.Fatalf("Callback: %v", err)
			}
			want := provider.Callback{ProviderTaskID: taskID, Proof: provider.ProofID, Status: tt.want}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("callback (-want +got):\n%s", diff)
			}
			if strings.Contains(got.Status.Message, "5916") {
				t.Errorf("the balance shows in %q", got.Status.Message)
			}
		})
	}
}
