package sim_test

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
)

func TestSign_MatchesTheContractVectors(t *testing.T) {
	t.Parallel()
	tests := []struct{ id, stamp, want string }{
		{"774d9a7dd608a0e49293903095e45a4c", "1755078480", "IZtmj3keJ3PEjcWND9q+YgwIW204ftiTVm58iOSngkY="},
		{"ee9c2715375b7837f8bb51d641ff5863", "1769670760", "xG6/yOyrMyJtUdc1yjmHpKLHSHF3MpzOPa6uxSj3qb4="},
	}
	for _, tt := range tests {
		if got := kie.Sign(webhookKey, tt.id, tt.stamp); got != tt.want {
			t.Errorf("Sign(%s, %s) = %s, want %s", tt.id, tt.stamp, got, tt.want)
		}
	}
}

// signed checks the headers of a callback and returns the age of its timestamp.
func signed(t *testing.T, got received, key, id string) time.Duration {
	t.Helper()
	stamp := got.header.Get("X-Webhook-Timestamp")
	if want := kie.Sign(key, id, stamp); got.header.Get("X-Webhook-Signature") != want {
		t.Errorf("signature %q, want %q", got.header.Get("X-Webhook-Signature"), want)
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		t.Errorf("timestamp %q: want Unix seconds", stamp)
	}
	return time.Since(time.Unix(seconds, 0))
}

func TestCallback_TellsASuccessSigned(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	id := w.submit("snow")
	got := w.callback()
	if age := signed(t, got, webhookKey, id); age > time.Minute {
		t.Errorf("timestamp is %v old", age)
	}
	rec := w.finished(id, 1)
	echo, _ := json.Marshal(rec.ParamJSON)
	want := fmt.Sprintf(`{"code":200,"msg":"Modify record generated successfully.","data":{"taskId":%q,"promptJson":%s,"resultUrls":[%q]}}`,
		id, strings.ReplaceAll(string(echo), `\u0026`, "&"), rec.Response.ResultURLs[0])
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if got.header.Get("Content-Type") != "application/json" {
		t.Errorf("content type %q", got.header.Get("Content-Type"))
	}
}

func TestCallback_CarriesNoSignatureWithoutAKey(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.Kie.WebhookKey = "" })
	w.submit("snow")
	if got := w.callback(); got.header.Get("X-Webhook-Signature") != "" || got.header.Get("X-Webhook-Timestamp") != "" {
		t.Errorf("headers %v: want no signature", got.header)
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
		w := setup(t, func(c *config) { c.Kie.CallbackID = field })
		id := w.submit("snow")
		got := w.callback().json
		if has := [3]bool{got.Data.TaskID == id, got.Data.Snake == id, got.TaskID == id}; has != want {
			t.Errorf("%s: got ids at %v, want %v", field, has, want)
		}
	}
}

func TestCallback_RetriesUntil200(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	for _, status := range []int{204, 500, 302} {
		w.hook.statuses <- status
	}
	id := w.submit("snow")
	w.await("four tries", func() bool { return len(w.sim.Deliveries()) == 4 })
	var got []int
	for i, d := range w.sim.Deliveries() {
		got = append(got, d.Status)
		if d.Attempt != i+1 || d.Kind != sim.KindGenuine || d.TaskID != id || d.Body == "" {
			t.Errorf("delivery %d: %+v", i, d)
		}
	}
	if diff := cmp.Diff([]int{204, 500, 302, 200}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	w.finished(id, 1)
}

func TestCallback_GivesUpWithFlagFour(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{4, 3} {
		w := setup(t, func(c *config) { c.Kie.CallbackAttempts = attempts })
		for range 2 * attempts {
			w.hook.statuses <- 503
		}
		rec := w.finished(w.submit("snow"), 4)
		if rec.Response == nil || len(rec.Response.ResultURLs) != 1 || rec.ErrorMessage == nil {
			t.Errorf("record %+v: want flag 4 with the result and a message", rec)
		}
		if got := len(w.sim.Deliveries()); got != attempts {
			t.Errorf("%d tries, want %d", got, attempts)
		}
		failed := w.submit("[sim:fail]")
		w.await("failure given up", func() bool { return len(w.sim.Deliveries()) == 2*attempts })
		w.finished(failed, 3)
	}
}

func TestCallback_GivesUpOnASlowReceiver(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.Kie.CallbackTimeout, c.Kie.CallbackAttempts = 20*time.Millisecond, 1 })
	w.stall()
	w.finished(w.submit("snow"), 4)
	if got := w.sim.Deliveries()[0]; got.Status != 0 || !strings.Contains(got.Error, "deadline exceeded") {
		t.Errorf("delivery %+v: want a timeout", got)
	}
}

func TestCallback_SignsRetriesAnewUnlessConfigured(t *testing.T) {
	t.Parallel()
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("reuse=%v", reuse), func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(c *config) { c.Kie.CallbackReuseTimestamp, c.Kie.CallbackSpacing = reuse, 1100*time.Millisecond })
			w.hook.statuses <- 500
			id := w.submit("snow")
			first, second := w.callback(), w.callback()
			signed(t, first, webhookKey, id)
			signed(t, second, webhookKey, id)
			same := first.header.Get("X-Webhook-Timestamp") == second.header.Get("X-Webhook-Timestamp")
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
			w := setup(t, nil)
			id := w.submit("[sim:" + tt.directive + "]")
			w.await("callbacks", func() bool { return len(w.sim.Deliveries()) >= len(tt.want) })
			var got []string
			for _, d := range w.sim.Deliveries() {
				var body struct{ Code int }
				if err := json.Unmarshal([]byte(d.Body), &body); err != nil {
					t.Fatal(err)
				}
				stamp := d.Header.Get("X-Webhook-Timestamp")
				if d.Header.Get("X-Webhook-Signature") != kie.Sign(webhookKey, id, stamp) {
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
	w := setup(t, nil)
	w.finished(w.submit("[sim:undeliverable]"), 4)
	if len(w.hook.calls) != 0 {
		t.Errorf("%d callbacks came", len(w.hook.calls))
	}
}

func TestCallback_ForgedURLsNameAForeignFile(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	id := w.submit("[sim:forge-urls]")
	forged, genuine := w.callback(), w.callback()
	if got := w.get(forged.json.Data.ResultURLs[0]); got.raw != string(sim.ForgedClip(id)) {
		t.Errorf("forged URL serves %d bytes, want the forged clip", len(got.raw))
	}
	if got := w.get(genuine.json.Data.ResultURLs[0]); got.raw != string(sim.ResultClip(id, 0)) {
		t.Errorf("genuine URL serves %d bytes, want the result", len(got.raw))
	}
	if got := w.sim.Downloads(); len(got) != 2 || !got[0].Forged || got[1].Forged || got[1].TaskID != id {
		t.Errorf("downloads %+v: want one forged, one genuine", got)
	}
}

func TestCallback_BendsTheSignature(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	id := w.submit("[sim:bad-signature]")
	got := w.callback()
	if sig := got.header.Get("X-Webhook-Signature"); len(sig) != 44 || sig == kie.Sign(webhookKey, id, got.header.Get("X-Webhook-Timestamp")) {
		t.Errorf("signature %q: want a wrong one of the right length", sig)
	}
	// The bad one is accepted by the receiver of this test, so the next callback is that of the next task.
	w.submit("[sim:no-signature]")
	if got := w.callback(); got.header.Get("X-Webhook-Signature") != "" {
		t.Errorf("headers %v: want no signature", got.header)
	}
	id = w.submit("[sim:stale=10m]")
	if age := signed(t, w.callback(), webhookKey, id); age < 10*time.Minute || age > 11*time.Minute {
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
			w := setup(t, nil)
			id := w.submit("[sim:" + tt.directive + "]")
			if got := w.callback(); !strings.Contains(got.body, tt.want) {
				t.Errorf("body %s: want %s", got.body, tt.want)
			}
			if got := w.finished(id, 1).Response.ResultURLs; got == nil || len(got) != tt.recorded {
				t.Errorf("record has results %v, want %d", got, tt.recorded)
			}
		})
	}
}

func TestCallback_ComesLateOrNever(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	never := w.submit("[sim:never]")
	w.finished(never, 1)
	late := w.submit("[sim:late=100ms]")
	rec := w.finished(late, 1)
	got := w.callback()
	if got.json.Data.TaskID != late {
		t.Errorf("callback of %s, want the one of %s alone", got.json.Data.TaskID, late)
	}
	w.await("delivery on record", func() bool { return len(w.sim.Deliveries()) == 1 })
	if wait := w.sim.Deliveries()[0].Time.Sub(time.UnixMilli(*rec.CompleteTime)); wait < 100*time.Millisecond {
		t.Errorf("callback came %v after the end, want 100ms", wait)
	}
}

func TestCallback_IsSilentAboutFailedCreationWhenConfigured(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.Kie.SilentCreateFailure = true })
	w.finished(w.submit("[sim:create-fail]"), 2)
	id := w.submit("next")
	if got := w.callback(); got.json.Data.TaskID != id {
		t.Errorf("callback of %s, want the one of %s", got.json.Data.TaskID, id)
	}
}
