package kie_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/simtest"
)

type object = simtest.Object

// inner returns the object that a value holds as JSON in a string.
func inner(t *testing.T, v any) object {
	t.Helper()
	text, _ := v.(string)
	var o object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v holds no JSON object: %v", v, err)
	}
	return o
}

func TestCreateTask_ChecksModelAndInput(t *testing.T) {
	t.Parallel()
	known := func(c *simtest.Config) { c.Kie.OnlyKnownModels = true }
	ok := object{"prompt": "p", "video_url": simtest.SourceURL}
	list := []any{simtest.SourceURL}
	for name, tc := range map[string]struct {
		config func(*simtest.Config)
		body   object
		want   int
		video  string // In the ledger.
	}{
		"text":                     {nil, object{"model": "wan/2-7-videoedit", "input": ok}, 200, simtest.SourceURL},
		"prompt left out":          {nil, object{"model": "wan/2-7-videoedit", "input": object{"video_url": "https://h/a.mp4"}}, 200, "https://h/a.mp4"},
		"list":                     {nil, object{"model": "kling-3.0-omni/transformation", "input": object{"prompt": "p", "video_urls": list}}, 200, simtest.SourceURL},
		"objects":                  {nil, object{"model": "gemini-omni-video", "input": object{"prompt": "p", "duration": "8", "video_list": []any{object{"url": simtest.SourceURL}}}}, 200, simtest.SourceURL},
		"several":                  {nil, object{"model": "wan/2-6-video-to-video", "input": object{"prompt": "p", "video_urls": []any{"https://h/1", "https://h/2", "https://h/3"}}}, 200, "https://h/1"},
		"a name with a blank":      {nil, object{"model": "happyhorse/video-edit", "input": object{"prompt": "p", "video_url": simtest.SourceURL, "reference_image ": []any{"https://h/1.png"}}}, 200, simtest.SourceURL},
		"another model":            {nil, object{"model": "acme/edit-2", "input": object{"video_urls": list}}, 200, simtest.SourceURL},
		"another model is refused": {known, object{"model": "acme/edit-2", "input": ok}, 422, simtest.SourceURL},
		"no model":                 {nil, object{"input": ok}, 422, simtest.SourceURL},
		"no family":                {nil, object{"model": "edit", "input": ok}, 422, simtest.SourceURL},
		"no input":                 {nil, object{"model": "wan/2-7-videoedit"}, 422, ""},
		"input as text":            {nil, object{"model": "wan/2-7-videoedit", "input": `{"video_url":"https://h/a"}`}, 422, ""},
		"no source":                {nil, object{"model": "wan/2-7-videoedit", "input": object{"prompt": "p"}}, 422, ""},
		"text for a list":          {nil, object{"model": "kling-3.0-omni/transformation", "input": object{"prompt": "p", "video_urls": simtest.SourceURL}}, 422, ""},
		"a list for a text":        {nil, object{"model": "wan/2-7-videoedit", "input": object{"video_url": list}}, 422, ""},
		"a list for objects":       {nil, object{"model": "gemini-omni-video", "input": object{"prompt": "p", "duration": "8", "video_list": list}}, 422, ""},
		"two for one":              {nil, object{"model": "kling-3.0-omni/transformation", "input": object{"prompt": "p", "video_urls": []any{"https://h/1", "https://h/2"}}}, 422, "https://h/1"},
		"no prompt":                {nil, object{"model": "happyhorse/video-edit", "input": object{"video_url": simtest.SourceURL}}, 422, simtest.SourceURL},
		"an input too many":        {nil, object{"model": "kling-3.0-omni/transformation", "input": object{"prompt": "p", "video_urls": list, "nsfw_checker": true}}, 422, simtest.SourceURL},
		"a callback that is none":  {nil, object{"model": "wan/2-7-videoedit", "callBackUrl": "nowhere", "input": ok}, 422, simtest.SourceURL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, tc.config)
			got := w.Post("/api/v1/jobs/createTask", tc.body)
			if got.Code != tc.want || got.Status != http.StatusOK {
				t.Errorf("got status %d, %s; want code %d", got.Status, got.Raw, tc.want)
			}
			e := w.Sim.Ledger()[0]
			model, _ := tc.body["model"].(string)
			if e.Model != model || e.VideoURL != tc.video || e.Paid != (tc.want == 200) {
				t.Errorf("the ledger has %+v, want the video %q", e, tc.video)
			}
		})
	}
}

func TestCreateTask_AnswersAsRecordedAndAsDocumented(t *testing.T) {
	t.Parallel()
	body := func(w *simtest.Fixture) object {
		return w.Job(simtest.MarketModel, object{"video_url": simtest.SourceURL})
	}
	w := simtest.Setup(t, nil)
	got := w.Post("/api/v1/jobs/createTask", body(w))
	id := w.Sim.Ledger()[0].TaskID
	if want := `{"code":200,"msg":"success","data":{"recordId":"` + id + `","taskId":"` + id + `"}}`; got.Raw != want || len(id) != 32 {
		t.Errorf("got %s, want %s", got.Raw, want)
	}
	w = simtest.Setup(t, func(c *simtest.Config) {
		c.Kie.IDPrefix, c.Kie.OmitRecordID, c.Kie.SayMessage = "task_", true, true
	})
	got = w.Post("/api/v1/jobs/createTask", body(w))
	id = w.Sim.Ledger()[0].TaskID
	if want := `{"code":200,"message":"success","data":{"taskId":"` + id + `"}}`; got.Raw != want || !strings.HasPrefix(id, "task_") {
		t.Errorf("got %s, want %s", got.Raw, want)
	}
}

func TestJobInfo_EncodesTheInputTwice(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	rec := w.JobReached(w.SubmitJob("snow"), "success")
	param := inner(t, rec["param"])
	want := object{"prompt": "snow", "video_url": simtest.SourceURL}
	if diff := cmp.Diff(want, inner(t, param["input"])); diff != "" || param["model"] != simtest.MarketModel || !strings.HasSuffix(param["callBackUrl"].(string), "/cb?token=a&b=c") {
		t.Errorf("param %v (-want +got):\n%s", param, diff)
	}
	if links, _ := inner(t, rec["resultJson"])["resultUrls"].([]any); len(links) != 1 {
		t.Errorf("resultJson %v, want one link", rec["resultJson"])
	}
	if rec["failCode"] != nil || rec["failMsg"] != nil || rec["costTime"] != 0.0 || rec["creditsConsumed"] != 1.0 {
		t.Errorf("record %v", rec)
	}
	if _, has := rec["updateTime"]; has {
		t.Errorf("record %v, want no updateTime", rec)
	}
}

func TestJobInfo_KnowsOnlyJobs(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	if got := w.JobInfo(w.Submit("snow")); got.Code != 404 {
		t.Errorf("a task of Luma Modify: got %s", got.Raw)
	}
	if got := w.Info(w.SubmitJob("snow")); got.Code != 404 {
		t.Errorf("a task of the market at record-info: got %s", got.Raw)
	}
	for code, want := range map[int]string{
		404: `{"code":404,"msg":"Task not found","data":null}`, 422: `{"code":422,"msg":"recordInfo is null","data":null}`,
		200: `{"code":200,"msg":"success","data":null}`,
	} {
		w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.UnknownTaskCode = code })
		if got := w.JobInfo("none"); got.Raw != want || got.Status != http.StatusOK {
			t.Errorf("unknown with %d: got %s, want %s", code, got.Raw, want)
		}
	}
	if got := w.JobInfo(w.SubmitJob("p [sim:invisible=1h]")); got.Raw != `{"code":422,"msg":"recordInfo is null","data":null}` {
		t.Errorf("invisible: got %s", got.Raw)
	}
}

func TestJobInfo_HasTheVariantsThatPagesDocument(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config func(*kie.Profile)
		prompt string
		state  string
		want   object // A nil value wants the field to be null or missing.
	}{
		"running":              {func(*kie.Profile) {}, "processing=1h", "waiting", object{"resultJson": "", "creditsConsumed": nil, "completeTime": nil, "costTime": nil}},
		"generating":           {func(p *kie.Profile) { p.RunningState = "generating" }, "processing=1h", "generating", object{"resultJson": ""}},
		"failed":               {func(*kie.Profile) {}, "fail=400,reason=no", "fail", object{"failCode": "400", "failMsg": "no", "creditsConsumed": 0.0, "resultJson": nil}},
		"a number for code":    {func(p *kie.Profile) { p.NumericFailCode = true }, "fail", "fail", object{"failCode": 501.0}},
		"no credits":           {func(p *kie.Profile) { p.Credits = kie.CreditsNone }, "lag=1ms", "success", object{"creditsConsumed": nil, "consumeCredits": nil}},
		"old credits":          {func(p *kie.Profile) { p.Credits = kie.CreditsOld }, "lag=1ms", "success", object{"creditsConsumed": nil, "remainedCredits": nil}},
		"seconds":              {func(*kie.Profile) {}, "processing=3ms", "success", object{"costTime": 0.0}},
		"a result of no shape": {func(*kie.Profile) {}, "empty-results", "success", object{"resultJson": `{"resultUrls":[]}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, func(c *simtest.Config) { tc.config(&c.Kie) })
			rec := w.JobReached(w.SubmitJob("p [sim:"+tc.prompt+"]"), tc.state)
			for field, want := range tc.want {
				if diff := cmp.Diff(want, rec[field]); diff != "" {
					t.Errorf("%s of %v (-want +got):\n%s", field, rec, diff)
				}
			}
		})
	}
	w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.UpdateTime, c.Kie.CostTimeMillis = true, true })
	rec := w.JobReached(w.SubmitJob("p [sim:processing=5ms]"), "success")
	if took, _ := rec["costTime"].(float64); took < 5 || rec["updateTime"] != rec["createTime"] {
		t.Errorf("record %v, want milliseconds and an updateTime", rec)
	}
}

// TestCreateTask_TakesASourceThatFailsLate has sources that no one can fetch.
func TestCreateTask_TakesASourceThatFailsLate(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for _, source := range []string{"no address", "https://host.invalid/a.mp4"} {
		got := w.Post("/api/v1/jobs/createTask", w.Job(simtest.MarketModel, object{"video_url": source}))
		if got.Code != 200 {
			t.Fatalf("%s: got %s, want it to be taken", source, got.Raw)
		}
		entries := w.Sim.Ledger()
		if rec := w.JobReached(entries[len(entries)-1].TaskID, "fail"); rec["failCode"] != "422" {
			t.Errorf("%s: record %v", source, rec)
		}
	}
}

func TestJobCallback_HasTheStateInTheEnvelope(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config func(*kie.Profile)
		prompt string
		code   int
		msg    string
		want   object
	}{
		"success":         {func(*kie.Profile) {}, "p", 200, "Playground task completed successfully.", object{"state": "success", "creditsConsumed": 1.0}},
		"failure":         {func(*kie.Profile) {}, "p [sim:fail,reason=no]", 501, "Playground task failed.", object{"state": "fail", "failCode": "501", "failMsg": "no", "creditsConsumed": 0.0}},
		"another code":    {func(p *kie.Profile) { p.JobFailureCode = 400 }, "p [sim:fail]", 400, "Playground task failed.", object{"state": "fail"}},
		"a forged code":   {func(*kie.Profile) {}, "p [sim:forge-code=500]", 500, "Playground task failed.", object{"state": "fail"}},
		"an old page":     {func(p *kie.Profile) { p.Credits = kie.CreditsOld }, "p", 200, "Playground task completed successfully.", object{"consumeCredits": 1.0, "remainedCredits": 999.0}},
		"the snake's id":  {func(p *kie.Profile) { p.CallbackID = kie.IDDataSnake }, "p", 200, "Playground task completed successfully.", object{"taskId": nil}},
		"no results":      {func(*kie.Profile) {}, "p [sim:empty-callback]", 200, "Playground task completed successfully.", object{"resultJson": `{"resultUrls":[]}`}},
		"updated at once": {func(p *kie.Profile) { p.UpdateTime = true }, "p", 200, "Playground task completed successfully.", object{"state": "success"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, func(c *simtest.Config) { tc.config(&c.Kie) })
			id := w.SubmitJob(tc.prompt)
			got := w.Callback()
			signed(t, got, simtest.WebhookKey, id)
			var body struct {
				Code int
				Msg  string
				Data object
			}
			if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
				t.Fatal(err)
			}
			if body.Code != tc.code || body.Msg != tc.msg || body.Data["model"] != simtest.MarketModel {
				t.Errorf("body %s, want code %d", got.Body, tc.code)
			}
			for field, want := range tc.want {
				if diff := cmp.Diff(want, body.Data[field]); diff != "" {
					t.Errorf("%s of %s (-want +got):\n%s", field, got.Body, diff)
				}
			}
			if param := inner(t, body.Data["param"]); param["model"] != simtest.MarketModel {
				t.Errorf("param %v", param)
			}
		})
	}
}

func TestWithdraw_RefusesSubmissionsUntilTheModelIsBack(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, 455, 404} {
		control := kie.NewControl()
		w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.Control, c.Kie.WithdrawnCode = control, code })
		want := 505
		if code != 0 {
			want = code
		}
		body := w.Job(simtest.MarketModel, object{"prompt": "p", "video_url": simtest.SourceURL})
		running := w.SubmitJob("p [sim:processing=50ms]")
		control.Withdraw(simtest.MarketModel)
		if got := w.Post("/api/v1/jobs/createTask", body); got.Code != want {
			t.Errorf("withdrawn: got %s, want code %d", got.Raw, want)
		}
		if got := w.Post(simtest.GeneratePath, w.Request("p")); got.Code != 200 {
			t.Errorf("another model: got %s", got.Raw)
		}
		w.JobReached(running, "success")
		control.Restore(simtest.MarketModel)
		if got := w.Post("/api/v1/jobs/createTask", body); got.Code != 200 {
			t.Errorf("restored: got %s", got.Raw)
		}
		if got := w.Post("/api/v1/jobs/createTask", w.Job(simtest.MarketModel, object{"prompt": "[sim:withdrawn]", "video_url": simtest.SourceURL})); got.Code != want {
			t.Errorf("withdrawn for one task: got %s, want code %d", got.Raw, want)
		}
		if paid := sim.CountPaid(w.Sim.Ledger(), sim.ByProfile)[kie.Name]; paid != 3 {
			t.Errorf("%d paid, want 3", paid)
		}
	}
}

func TestWithdraw_OverHTTP(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	control := func(method string) string {
		got, err := w.Call(method, w.Sim.URL()+"/sim/kie/withdrawn/modify/generate", "", nil, "")
		if err != nil {
			t.Fatal(err)
		}
		return got.Raw
	}
	if got := control(http.MethodPut); got != `{"withdrawn":["modify/generate"]}` {
		t.Errorf("state %s", got)
	}
	if got := w.Post(simtest.GeneratePath, w.Request("p")); got.Code != 505 {
		t.Errorf("withdrawn: got %s", got.Raw)
	}
	if got := control(http.MethodDelete); got != `{"withdrawn":[]}` {
		t.Errorf("state %s", got)
	}
	if got := w.Post(simtest.GeneratePath, w.Request("p")); got.Code != 200 {
		t.Errorf("restored: got %s", got.Raw)
	}
}
