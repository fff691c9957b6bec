package promises_test

import (
	"math/bits"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestPromise06_NoTokenNoDatabase posts callbacks with foreign URL tokens while the tables of attempts and callbacks
// are locked. They must be refused and counted nevertheless. TestIngress_AnswersAsDocumented of package e2e has the other cases.
//
// It fails when Receive in internal/callback/receive.go keeps a callback, or looks for its attempt, before it verifies
// the token.
func TestPromise06_NoTokenNoDatabase(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		c.Processing = time.Hour
	})
	id := ts.Submit(t, "").GetId()
	ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	entry := ts.Sim.Ledger()[0]
	now := strconv.FormatInt(time.Now().Unix(), 10)
	body := `{"code":200,"msg":"ok","data":{"taskId":"` + entry.TaskID + `"}}`
	header := []string{"X-Webhook-Timestamp", now, "X-Webhook-Signature", simkie.Sign(e2etest.WebhookKey, entry.TaskID, now)}

	lock := postgrestest.Begin(t, ts.Pool)
	if _, err := lock.Exec(t.Context(), "LOCK TABLE attempt, callback IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	cut := strings.LastIndex(entry.CallbackURL, "/") + 1
	token := entry.CallbackURL[cut:]
	for name, forged := range map[string]string{
		"another signature": token[:len(token)-4] + "AAAA", "cut": token[:len(token)/2], "longer": token + "A", "nonsense": "nonsense",
	} {
		if status, _, answer := e2etest.Request(t, http.MethodPost, entry.CallbackURL[:cut]+forged, body, header...); status != http.StatusUnauthorized {
			t.Errorf("%s: answered %d %s, want 401", name, status, answer)
		}
	}
	if n := ts.Metric(t, "refract_callbacks_total", `account="kie"`, `verdict="bad_token"`); n != 4 {
		t.Errorf("%d refused callbacks are counted, want 4", n)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM callback"); n != 0 {
		t.Errorf("%d refused callbacks are kept", n)
	}
}

// TestPromise06_CallbacksAreHints posts false callbacks, as a provider or a stranger with a captured callback might.
// Only the provider's answer to a query may count.
//
// It fails when callbackInput in internal/lifecycle/settle_callback.go believes a callback that says Failed, or one
// that is not Proven.
func TestPromise06_CallbacksAreHints(t *testing.T) {
	t.Parallel()
	newAndOld := func(f *server.Config) {
		f.KIE.WebhookKeys = []redact.Secret{e2etest.WebhookKey, "the-new-key-of-the-account"}
		f.Luma = server.Upstream{APIKeys: []redact.Secret{e2etest.APIKey}, Poll: time.Hour}
	}
	unsigned := func(f *server.Config) { f.KIE.WebhookKeys = nil }
	polled := func(f *server.Config) { f.KIE.Poll = 300 * time.Millisecond } // No callback ends it.
	oldAndNew := func(f *server.Config) {
		f.KIE.WebhookKeys = []redact.Secret{"the-old-key-of-the-account", e2etest.WebhookKey}
	}
	configured := func(amend func(*server.Config)) *e2etest.Service {
		return e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
			e2etest.Unlimited(f, c)
			f.KIE.Poll = time.Hour // Only a callback causes a check, so none comes before it.
			amend(f)
		})
	}
	signed, asking, keyless := configured(newAndOld), configured(polled), configured(unsigned)
	for _, tc := range []struct {
		name     string
		prompt   string
		provider string
		ts       *e2etest.Service
		verdicts []string // The inbox must have at least these.
	}{
		{"forged links under a valid signature", "[sim:forge-urls]", "kie", signed, []string{"applied"}},
		{"a forged failure under a valid signature", "[sim:forge-code=500]", "kie", signed, []string{"confirming"}},
		{"a wrong signature", "[sim:bad-signature]", "kie", asking, []string{"bad_signature"}},
		{"a stale timestamp", "[sim:stale=1h]", "kie", asking, []string{"stale"}},
		{"no key: a forged success", "[sim:forge-code=200,processing=300ms]", "kie", keyless, []string{"confirming"}},
		{"no key: a forged failure", "[sim:forge-code=500,processing=300ms]", "kie", keyless, []string{"confirming"}},
		{"no signatures: a forged failure", "[sim:forge-code=500,processing=300ms]", luma.Name, signed, []string{"confirming"}},
		{"the new key of two", "", "kie", configured(oldAndNew), []string{"applied"}},
		{"the old key of two", "", "kie", signed, []string{"applied"}},
		{"it overtakes its answer", "[sim:early]", "kie", signed, []string{"applied"}},
		{"it overtakes its answer, which is lost", "[sim:early,drop-after]", "kie", signed, []string{"applied"}},
		{"twice, and then the opposite", "[sim:duplicate=2,conflict]", "kie", signed, []string{"applied", "duplicate", "conflict"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ts := tc.ts
			task := ts.Submit(t, tc.name+" "+tc.prompt, e2etest.At(tc.provider))
			last := ts.End(t, task.GetId())
			if last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
				t.Fatalf("ended %v, want SUCCEEDED", last)
			}
			checkOutputs(t, ts, last, ts.Entry(t, task).TaskID, 1)
			if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt)[task.GetPrompt()]; paid != 1 {
				t.Errorf("paid %d times, want once", paid)
			}
			for _, d := range ts.Sim.Downloads() {
				if d.Forged {
					t.Errorf("a forged link was followed: %v", d)
				}
			}
			for _, verdict := range tc.verdicts {
				e2etest.Eventually(t, "a callback to be "+verdict, func() bool {
					return postgrestest.Value[bool](t, ts.Pool, `SELECT EXISTS (SELECT FROM callback JOIN attempt ON attempt.id = attempt_id
						WHERE task_id = $1 AND verdict = $2)`, task.GetId(), verdict)
				})
			}
			if after := ts.Get(t, task.GetId()).GetRevision(); after != last.GetRevision() {
				t.Errorf("the task changed after its end, to revision %d from %d", after, last.GetRevision())
			}
		})
	}
}

// TestPromise06_RefusedCallbacksAreBounded posts more refused callbacks than are kept.
//
// It fails without the count in insertRefusedCallback (internal/postgres/inbox/keep.go).
func TestPromise06_RefusedCallbacksAreBounded(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(_ *server.Config, c *e2etest.SimConfig) { c.Processing = time.Hour })
	id := ts.Submit(t, "").GetId()
	ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	entry := ts.Sim.Ledger()[0]
	for range 20 {
		if status, _, _ := e2etest.Request(t, http.MethodPost, entry.CallbackURL, `{"code":200,"data":{"taskId":"`+entry.TaskID+`"}}`); status != http.StatusUnauthorized {
			t.Fatalf("an unsigned callback was answered %d, want 401", status)
		}
	}
	got := e2etest.Verdicts(t, ts, entry.CallbackURL[strings.LastIndex(entry.CallbackURL, "/")+1:])
	if diff := cmp.Diff(map[string]int{"bad_signature": 8}, got); diff != "" {
		t.Errorf("verdicts in the inbox (-want +got):\n%s", diff)
	}
	if n := ts.Metric(t, "refract_callbacks_total", `verdict="bad_signature"`); n != 20 {
		t.Errorf("%d are counted, want all 20", n)
	}
}

// TestPromise06_AcceptedCallbacksAreBounded replays one callback with its captured signature and with other bodies, which the
// signature does not cover.
//
// It fails without the bounds of insertCallbacks, or of scheduleChecks (internal/postgres/write_rows.go).
func TestPromise06_AcceptedCallbacksAreBounded(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.KIE.Poll, c.Processing = time.Hour, time.Hour
	})
	id := ts.Submit(t, "").GetId()
	ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	entry := ts.Sim.Ledger()[0]
	now := strconv.FormatInt(time.Now().Unix(), 10)
	header := []string{"X-Webhook-Timestamp", now, "X-Webhook-Signature", simkie.Sign(e2etest.WebhookKey, entry.TaskID, now)}
	began := time.Now()
	for i := range 40 {
		body := `{"code":500,"n":` + strconv.Itoa(i) + `,"data":{"taskId":"` + entry.TaskID + `"},"pad":"` + strings.Repeat("x", 20_000) + `"}`
		if status, _, answer := e2etest.Request(t, http.MethodPost, entry.CallbackURL, body, header...); status != http.StatusOK {
			t.Fatalf("callback %d was answered %d %s, want 200", i, status, answer)
		}
	}
	if n := ts.Metric(t, "refract_callbacks_total", `verdict="confirming"`); n != 40 {
		t.Errorf("%d are counted, want all 40", n)
	}
	if kept := postgrestest.Value[int](t, ts.Pool, "SELECT sum(octet_length(body)) FROM callback"); kept > 256<<10 {
		t.Errorf("%d bytes are kept, want at most 256 KiB", kept)
	}
	asked := ts.Metric(t, "refract_provider_call_seconds_count", `operation="check"`)
	if most := 2 + bits.Len(uint(time.Since(began)/time.Second)); asked > most {
		t.Errorf("%d questions were asked in %v, want at most %d", asked, time.Since(began), most)
	}
}
