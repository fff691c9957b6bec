package kie_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestRecordInfo_ShowsASuccess(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	before := time.Now().UnixMilli()
	id := w.Submit("snow & ice")
	rec := w.Finished(id, 1)
	if rec.TaskID != id || rec.Response == nil || rec.Response.TaskID != id || len(rec.Response.ResultURLs) != 1 || len(rec.Response.OriginURLs) != 1 {
		t.Fatalf("record %+v: want one result and one origin of task %s", rec, id)
	}
	if rec.CreateTime < before || *rec.CompleteTime < rec.CreateTime {
		t.Errorf("times %d to %d: want milliseconds after %d, in order", rec.CreateTime, *rec.CompleteTime, before)
	}
	if rec.ErrorCode != nil || rec.ErrorMessage != nil {
		t.Errorf("error %v %v: want null", rec.ErrorCode, rec.ErrorMessage)
	}
	want := `{"callBackUrl":"` + w.Hook.Server.URL + `/cb?token=a&b=c","prompt":"snow & ice","videoUrl":"` + simtest.SourceURL + `","waterMark":""}`
	if diff := cmp.Diff(want, rec.ParamJSON); diff != "" {
		t.Errorf("paramJson (-want +got):\n%s", diff)
	}
}

func TestRecordInfo_WritesOrOmitsNulls(t *testing.T) {
	t.Parallel()
	for _, omit := range []bool{false, true} {
		w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.OmitNulls, c.Processing = omit, time.Hour })
		got := w.Info(w.Submit("p"))
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(got.Data, &keys); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"completeTime", "response", "errorCode", "errorMessage"} {
			if value, found := keys[key]; found == omit || (found && string(value) != "null") {
				t.Errorf("omit %v: %s is %q, found %v", omit, key, value, found)
			}
		}
		if string(keys["successFlag"]) != "0" {
			t.Errorf("successFlag %s, want 0", keys["successFlag"])
		}
	}
}

func TestRecordInfo_ShowsFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directive string
		flag      int
		code      int
		message   string
	}{
		{"fail", 3, 501, "Generation failed"},
		{"fail=400,reason=content moderated", 3, 400, "content moderated"},
		{"create-fail", 2, 501, "Generation failed"},
	}
	w := simtest.Setup(t, nil)
	for _, tt := range tests {
		rec := w.Finished(w.Submit("[sim:"+tt.directive+"]"), tt.flag)
		if rec.Response != nil || *rec.ErrorCode != tt.code || *rec.ErrorMessage != tt.message {
			t.Errorf("%s: got %v %v %v", tt.directive, rec.Response, *rec.ErrorCode, *rec.ErrorMessage)
		}
		if got := w.Callback(); got.JSON.Code != 500 || strings.Contains(got.Body, "resultUrls") {
			t.Errorf("%s: callback %s, want 500 without resultUrls", tt.directive, got.Body)
		}
	}
}

func TestRecordInfo_HidesANewTask(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.InvisibleFor = time.Hour })
	const want = `{"code":422,"msg":"recordInfo is null","data":null}`
	if got := w.Info(w.Submit("p")); got.Raw != want {
		t.Errorf("got %s, want %s", got.Raw, want)
	}
	w.Finished(w.Submit("[sim:invisible=0s]"), 1)
}

func TestRecordInfo_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{
		404: `{"code":404,"msg":"Task not found","data":null}`,
		422: `{"code":422,"msg":"recordInfo is null","data":null}`,
	} {
		w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.UnknownTaskCode = code })
		if got := w.Info("unknown"); got.Raw != want {
			t.Errorf("unknown task: got %s, want %s", got.Raw, want)
		}
		if got := w.Info(""); got.Code != 422 {
			t.Errorf("no task: got %s, want 422", got.Raw)
		}
		got, err := w.Call(http.MethodGet, w.Sim.URL()+"/api/v1/modify/record-info?taskId=x", "bad", nil, "")
		if err != nil || got.Code != 401 {
			t.Errorf("bad key: got %s, %v, want 401", got.Raw, err)
		}
	}
}

func TestRecordInfo_LimitsAndCountsQueries(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.QueryLimit = sim.Limit{N: 2, Window: time.Hour} })
	var codes []int
	for range 3 {
		codes = append(codes, w.Info("x").Code)
	}
	if diff := cmp.Diff([]int{404, 404, 429}, codes); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if got := w.Sim.Limits().Queries; len(got) != 1 || got[0].PeakArrived != 3 || got[0].Refused != 1 {
		t.Errorf("queries %+v: want a peak of 3, 1 refused", got)
	}
}

func TestRecordInfo_LagsBehindTheCallback(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	id := w.Submit("[sim:lag=1h]")
	w.Callback()
	var rec simtest.Record
	if err := json.Unmarshal(w.Info(id).Data, &rec); err != nil || rec.SuccessFlag != 0 || rec.Response != nil {
		t.Errorf("record %+v, %v: want flag 0 after the callback", rec, err)
	}
}

func TestLimits_CountGenerationsInFlight(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Processing = time.Hour })
	w.Submit("a")
	w.Submit("b")
	id := w.Submit("[sim:processing=0s]")
	w.Finished(id, 1)
	w.Await("two in flight", func() bool { return w.Sim.Limits().InFlight == 2 })
	if got := w.Sim.Limits().PeakInFlight; got != 3 {
		t.Errorf("peak %d, want 3", got)
	}
}
