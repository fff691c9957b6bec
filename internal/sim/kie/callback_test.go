package kie_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestSign_MatchesTheContractVectors(t *testing.T) {
	t.Parallel()
	tests := []struct{ id, stamp, want string }{
		{"774d9a7dd608a0e49293903095e45a4c", "1755078480", "IZtmj3keJ3PEjcWND9q+YgwIW204ftiTVm58iOSngkY="},
		{"ee9c2715375b7837f8bb51d641ff5863", "1769670760", "xG6/yOyrMyJtUdc1yjmHpKLHSHF3MpzOPa6uxSj3qb4="},
	}
	for _, tt := range tests {
		if got := kie.Sign(simtest.WebhookKey, tt.id, tt.stamp); got != tt.want {
			t.Errorf("Sign(%s, %s) = %s, want %s", tt.id, tt.stamp, got, tt.want)
		}
	}
}

// signed checks the headers of a callback and returns the age of its timestamp.
func signed(t *testing.T, got simtest.Received, key, id string) time.Duration {
	t.Helper()
	stamp := got.Header.Get("X-Webhook-Timestamp")
	if want := kie.Sign(key, id, stamp); got.Header.Get("X-Webhook-Signature") != want {
		t.Errorf("signature %q, want %q", got.Header.Get("X-Webhook-Signature"), want)
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		t.Errorf("timestamp %q: want Unix seconds", stamp)
	}
	return time.Since(time.Unix(seconds, 0))
}

func TestCallback_ReportsASuccessSigned(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	id := w.Submit("snow")
	got := w.Callback()
	if age := signed(t, got, simtest.WebhookKey, id); age > time.Minute {
		t.Errorf("timestamp is %v old", age)
	}
	rec := w.Finished(id, 1)
	echo, _ := json.Marshal(rec.ParamJSON)
	want := fmt.Sprintf(`{"code":200,"msg":"Modify record generated successfully.","data":{"taskId":%q,"promptJson":%s,"resultUrls":[%q]}}`,
		id, strings.ReplaceAll(string(echo), `\u0026`, "&"), rec.Response.ResultURLs[0])
	if diff := cmp.Diff(want, got.Body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("content type %q", got.Header.Get("Content-Type"))
	}
}

func TestCallback_CarriesNoSignatureWithoutAKey(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.WebhookKey = "" })
	w.Submit("snow")
	if got := w.Callback(); got.Header.Get("X-Webhook-Signature") != "" || got.Header.Get("X-Webhook-Timestamp") != "" {
		t.Errorf("headers %v: want no signature", got.Header)
	}
}

func TestCallback_PutsTheTaskIDWhereConfigured(t *testing.T) {
	t.Parallel()
	tests := map[kie.IDField][3]bool{ // data.taskId, data.task_id, taskId
		kie.IDDataCamel: {true, false, false},
		kie.IDDataSnake: {false, true, false},
		kie.IDRoot:      {false, false, true},
		kie.IDBoth:      {false, true, true},
	}
	for field, want := range tests {
		w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.CallbackID = field })
		id := w.Submit("snow")
		got := w.Callback().JSON
		if has := [3]bool{got.Data.TaskID == id, got.Data.Snake == id, got.TaskID == id}; has != want {
			t.Errorf("%s: got ids at %v, want %v", field, has, want)
		}
	}
}

func TestCallback_RetriesUntil200(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for _, status := range []int{204, 500, 302} {
		w.Hook.Statuses <- status
	}
	id := w.Submit("snow")
	w.Await("four tries", func() bool { return len(w.Sim.Deliveries()) == 4 })
	var got []int
	for i, d := range w.Sim.Deliveries() {
		got = append(got, d.Status)
		if d.Attempt != i+1 || d.Kind != sim.KindGenuine || d.TaskID != id || d.Body == "" {
			t.Errorf("delivery %d: %+v", i, d)
		}
	}
	if diff := cmp.Diff([]int{204, 500, 302, 200}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	w.Finished(id, 1)
}

func TestCallback_GivesUpWithFlagFour(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{4, 3} {
		w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.CallbackAttempts = attempts })
		for range 2 * attempts {
			w.Hook.Statuses <- 503
		}
		rec := w.Finished(w.Submit("snow"), 4)
		if rec.Response == nil || len(rec.Response.ResultURLs) != 1 || rec.ErrorMessage == nil {
			t.Errorf("record %+v: want flag 4 with the result and a message", rec)
		}
		if got := len(w.Sim.Deliveries()); got != attempts {
			t.Errorf("%d tries, want %d", got, attempts)
		}
		failed := w.Submit("[sim:fail]")
		w.Await("failure given up", func() bool { return len(w.Sim.Deliveries()) == 2*attempts })
		w.Finished(failed, 3)
	}
}

func TestCallback_GivesUpOnASlowReceiver(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.CallbackTimeout, c.Kie.CallbackAttempts = 20*time.Millisecond, 1 })
	w.Stall()
	w.Finished(w.Submit("snow"), 4)
	if got := w.Sim.Deliveries()[0]; got.Status != 0 || !strings.Contains(got.Error, "deadline exceeded") {
		t.Errorf("delivery %+v: want a timeout", got)
	}
}

func TestCallback_SignsRetriesAnewUnlessConfigured(t *testing.T) {
	t.Parallel()
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("reuse=%v", reuse), func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, func(c *simtest.Config) {
				c.Kie.CallbackReuseTimestamp, c.Kie.CallbackSpacing = reuse, 1100*time.Millisecond
			})
			w.Hook.Statuses <- 500
			id := w.Submit("snow")
			first, second := w.Callback(), w.Callback()
			signed(t, first, simtest.WebhookKey, id)
			signed(t, second, simtest.WebhookKey, id)
			same := first.Header.Get("X-Webhook-Timestamp") == second.Header.Get("X-Webhook-Timestamp")
			if same != reuse {
				t.Errorf("same timestamp: %v, want %v", same, reuse)
			}
		})
	}
}

func TestCallback_SendsTheScriptedOnes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directive string
		want      []string // kind and code, in order
	}{
		{"duplicate", []string{"genuine 200", "duplicate 200"}},
		{"duplicate=3", []string{"genuine 200", "duplicate 200", "duplicate 200", "duplicate 200"}},
		{"conflict", []string{"genuine 200", "conflict 500"}},
		{"fail,conflict", []string{"genuine 500", "conflict 200"}},
		{"forge-code", []string{"forged 500", "genuine 200"}},
		{"forge-code=501,never", []string{"forged 501"}},
		{"forge-urls", []string{"forged 200", "genuine 200"}},
		{"fail,forge-code=200", []string{"forged 200", "genuine 500"}},
		{"undeliverable", []string{"genuine 200", "genuine 200", "genuine 200", "genuine 200"}},
	}
	for _, tt := range tests {
		t.Run(tt.directive, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, nil)
			id := w.Submit("[sim:" + tt.directive + "]")
			w.Await("callbacks", func() bool { return len(w.Sim.Deliveries()) >= len(tt.want) })
			var got []string
			for _, d := range w.Sim.Deliveries() {
				var body struct{ Code int }
				if err := json.Unmarshal([]byte(d.Body), &body); err != nil {
					t.Fatal(err)
				}
				stamp := d.Header.Get("X-Webhook-Timestamp")
				if d.Header.Get("X-Webhook-Signature") != kie.Sign(simtest.WebhookKey, id, stamp) {
					t.Errorf("%s delivery has a wrong signature", d.Kind)
				}
				got = append(got, fmt.Sprint(d.Kind, " ", body.Code))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("callbacks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCallback_UndeliverableEndsInFlagFourWithoutReachingUs(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	w.Finished(w.Submit("[sim:undeliverable]"), 4)
	if len(w.Hook.Calls) != 0 {
		t.Errorf("%d callbacks came", len(w.Hook.Calls))
	}
}

func TestCallback_ForgedURLsNameAForeignFile(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	id := w.Submit("[sim:forge-urls]")
	forged, genuine := w.Callback(), w.Callback()
	if got := w.Get(forged.JSON.Data.ResultURLs[0]); got.Raw != string(sim.ForgedClip(id)) {
		t.Errorf("forged URL serves %d bytes, want the forged clip", len(got.Raw))
	}
	if got := w.Get(genuine.JSON.Data.ResultURLs[0]); got.Raw != string(sim.ResultClip(id, 0)) {
		t.Errorf("genuine URL serves %d bytes, want the result", len(got.Raw))
	}
	if got := w.Sim.Downloads(); len(got) != 2 || !got[0].Forged || got[1].Forged || got[1].TaskID != id {
		t.Errorf("downloads %+v: want one forged, one genuine", got)
	}
}

func TestCallback_BendsTheSignature(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	id := w.Submit("[sim:bad-signature]")
	got := w.Callback()
	if sig := got.Header.Get("X-Webhook-Signature"); len(sig) != 44 || sig == kie.Sign(simtest.WebhookKey, id, got.Header.Get("X-Webhook-Timestamp")) {
		t.Errorf("signature %q: want a wrong one of the right length", sig)
	}
	// The bad one is accepted by the receiver of this test, so the next callback is that of the next task.
	w.Submit("[sim:no-signature]")
	if got := w.Callback(); got.Header.Get("X-Webhook-Signature") != "" {
		t.Errorf("headers %v: want no signature", got.Header)
	}
	id = w.Submit("[sim:stale=10m]")
	if age := signed(t, w.Callback(), simtest.WebhookKey, id); age < 10*time.Minute || age > 11*time.Minute {
		t.Errorf("timestamp is %v old, want 10m", age)
	}
}

func TestCallback_BendsTheBody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directive, want string
		recorded        int // result URLs in record-info
	}{
		{"null-data", `"data":null}`, 1},
		{"prompt-object", `"promptJson":{"callBackUrl":`, 1},
		{"empty-callback", `"resultUrls":[]`, 1},
		{"empty-results", `"resultUrls":[]`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.directive, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, nil)
			id := w.Submit("[sim:" + tt.directive + "]")
			if got := w.Callback(); !strings.Contains(got.Body, tt.want) {
				t.Errorf("body %s: want %s", got.Body, tt.want)
			}
			if got := w.Finished(id, 1).Response.ResultURLs; got == nil || len(got) != tt.recorded {
				t.Errorf("record has results %v, want %d", got, tt.recorded)
			}
		})
	}
}

func TestCallback_ComesLateOrNever(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	never := w.Submit("[sim:never]")
	w.Finished(never, 1)
	late := w.Submit("[sim:late=100ms]")
	rec := w.Finished(late, 1)
	got := w.Callback()
	if got.JSON.Data.TaskID != late {
		t.Errorf("callback of %s, want the one of %s alone", got.JSON.Data.TaskID, late)
	}
	w.Await("delivery on record", func() bool { return len(w.Sim.Deliveries()) == 1 })
	if wait := w.Sim.Deliveries()[0].Time.Sub(time.UnixMilli(*rec.CompleteTime)); wait < 100*time.Millisecond {
		t.Errorf("callback came %v after the end, want 100ms", wait)
	}
}

func TestCallback_IsSilentAboutFailedCreationWhenConfigured(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.SilentCreateFailure = true })
	w.Finished(w.Submit("[sim:create-fail]"), 2)
	id := w.Submit("next")
	if got := w.Callback(); got.JSON.Data.TaskID != id {
		t.Errorf("callback of %s, want the one of %s", got.JSON.Data.TaskID, id)
	}
}
