package promises_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestPromise10_OnePoisonousTaskStopsNobody submits a task that a firewall always refuses, alone at first, so that the
// account pauses, and restarts the service. Then another tenant submits. Its tasks must not wait for the end of the
// pause. After its last allowed try, the first task must end with a reason that blames the task.
//
// It fails when Probe (internal/admission/probe.go) puts refused tasks first, or when judge
// (internal/lifecycle/judge.go) holds every refusal against the account.
func TestPromise10_OnePoisonousTaskStopsNobody(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, e2etest.Unlimited)
	ts := f.Start(t)
	poison := ts.Submit(t, "[sim:html403]", e2etest.At(kie.Name)).GetId()
	ts.Await(t, poison, func(e *refractv1.TaskEvent) bool {
		return e.GetRevision() > 1 && e.GetState() == refractv1.TaskState_TASK_STATE_QUEUED
	})
	ts.Stop()
	// The pause outlasts the test, so only a probe of another tenant can end it.
	postgrestest.Exec(t, f.Pool, `UPDATE provider_account SET paused_until_time = now() + interval '1 day', task_probe_time = now() + interval '1 day' WHERE pauses > 0`)
	if n := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM provider_account WHERE paused_until_time > now()"); n != 1 {
		t.Fatalf("%d accounts pause, want the one that refused the task", n)
	}
	ts = f.Start(t)

	films := e2etest.As(ts.Anonymous(t), e2etest.CreateToken(t, ts.Pool, "films"))
	var others []string
	for range 20 {
		req := e2etest.GoodRequest()
		req.RequestId, req.Provider = uuid.NewString(), kie.Name
		resp, err := ts.Tasks.SubmitTask(films, req)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, resp.GetTask().GetId())
	}
	const passed = `UPDATE task SET not_before_time = now() WHERE id = $1 AND state = 'QUEUED' AND not_before_time > now()`
	e2etest.Eventually(t, "every task to end", func() bool {
		if n := postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM attempt WHERE task_id = $1", poison); n > 3 {
			t.Fatalf("the task that the provider refuses was tried %d times, want at most 3", n)
		}
		postgrestest.Exec(t, ts.Pool, passed, poison) // The account's pauses stay, since no task has to wait for their end.
		return postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM task WHERE state NOT IN ('SUCCEEDED', 'FAILED')") == 0
	})
	for _, id := range others {
		if state := postgrestest.Value[string](t, ts.Pool, "SELECT state FROM task WHERE id = $1", id); state != "SUCCEEDED" {
			t.Errorf("a task of the other tenant is %s, want SUCCEEDED", state)
		}
	}
	failure := ts.Get(t, poison).GetFailure()
	if failure.GetReason() != refractv1.FailureReason_FAILURE_REASON_PROVIDER_REJECTED ||
		failure.GetPayment() != refractv1.Payment_PAYMENT_NONE ||
		!strings.Contains(failure.GetMessage(), "refused this task's request 3 times while it accepted others") {
		t.Errorf("the task that the provider refuses failed with %v, want PROVIDER_REJECTED, unpaid, with the provider's refusals counted", failure)
	}
	if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByProfile); paid[simkie.Name] != len(others) {
		t.Errorf("paid %v, want %d", paid, len(others))
	}
}
