package operation_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// TestCheckTask_BringsHomeAResultWhoseCallbackGotLost checks a task whose next regular check is an hour away.
func TestCheckTask_BringsHomeAResultWhoseCallbackGotLost(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) { f.KIE.Poll = time.Hour })
	id := ts.Submit(t, "[sim:undeliverable]").GetId()
	if err := ts.Sim.Await(ts.Ctx(t), func() bool { return len(ts.Sim.Deliveries()) > 0 }); err != nil {
		t.Fatal(err) // The provider has a result when it starts its callbacks.
	}
	ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	o := ts.Operator(t)
	if out := o.Command(t, "check", id); !strings.HasPrefix(out, "CONFIRMING: kie is being asked about attempt 1\ntask "+id+" is RUNNING\n") {
		t.Errorf("check printed %s", out)
	}
	if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED", last)
	}
	if out := command(t, ts, o.Token, "check", id); !strings.HasPrefix(out, "SETTLED: ") {
		t.Errorf("check of a finished task printed %s", out)
	}
	if _, body := ts.Rest(t, http.MethodGet, "/metrics", ""); !strings.Contains(string(body), `refract_attempt_verdicts_total{account="kie",by="operator",state="SUCCEEDED"} 1`) {
		t.Error("the metrics do not count the verdict by an operator")
	}
}

// TestReplay_OfARefusedCallbackBringsItsResultHome replays a callback with a wrong signature. No answer may contain a
// secret.
func TestReplay_OfARefusedCallbackBringsItsResultHome(t *testing.T) {
	t.Parallel()
	gate := e2etest.StartGate(t)
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		f.KIE.Poll = time.Hour
		f.CallbackURL, c.Kie.CallbackAttempts = gate.URL, 20_000
	})
	gate.To(ts)
	id := ts.Submit(t, "[sim:bad-signature]").GetId()
	ts.Await(t, id, e2etest.IsRunning)
	gate.Open.Store(true)
	o := ts.Operator(t)
	refused := func() bool {
		return slices.ContainsFunc(ts.Sim.Deliveries(), func(d sim.Delivery) bool { return d.Status == http.StatusUnauthorized })
	}
	if err := ts.Sim.Await(ts.Ctx(t), refused); err != nil {
		t.Fatal(err)
	}
	list, err := o.ListCallbacks(o.Ctx(t), &refractv1.ListCallbacksRequest{
		TaskId: id, Account: "kie", Verdicts: []refractv1.CallbackVerdict{refractv1.CallbackVerdict_CALLBACK_VERDICT_BAD_SIGNATURE},
	})
	if err != nil || len(list.GetCallbacks()) == 0 {
		t.Fatalf("ListCallbacks = %v, %v, want the refused one", list, err)
	}
	first := list.GetCallbacks()[0]
	if first.GetTaskId() != id || first.GetAttempt() != 1 || first.GetProviderTaskId() != ts.Sim.Ledger()[0].TaskID || first.GetBody() != nil || first.GetBodySizeBytes() == 0 {
		t.Errorf("listed %v, want attempt 1 of task %s without a body", first, id)
	}
	got, err := o.GetCallback(o.Ctx(t), &refractv1.GetCallbackRequest{CallbackId: first.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	url := ts.Sim.Ledger()[0].CallbackURL
	token := url[strings.LastIndex(url, "/")+1:]
	printed := o.Command(t, "callback", "list", "--verdict=bad_signature", "--json") + command(t, ts, o.Token, "callback", "list", "--task", id) +
		command(t, ts, o.Token, "callback", "get", first.GetId()) + command(t, ts, o.Token, "provider", "list", "--json") + string(got.GetCallback().GetBody())
	for _, secret := range []string{token, e2etest.APIKey, e2etest.WebhookKey, o.Token, ts.Token} {
		if strings.Contains(printed, secret) {
			t.Errorf("an answer holds %q:\n%s", secret, printed)
		}
	}
	if !strings.Contains(string(got.GetCallback().GetBody()), "[redacted]") {
		t.Errorf("the body is %s, want it redacted", got.GetCallback().GetBody())
	}
	if out := command(t, ts, o.Token, "callback", "replay", first.GetId()); !strings.HasPrefix(out, "CONFIRMING: ") {
		t.Errorf("replay printed %s", out)
	}
	if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED", last)
	}
	if !strings.Contains(ts.Log.String(), `change="replay of a callback" operator=ops`) {
		t.Error("the log does not record the replay")
	}
}
