package promises_test

import (
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// TestPromise07_NoLostCallbackMatters runs tasks whose callbacks never come together with others, over two replicas.
// All must succeed, and a metric must say which way brought each verdict.
//
// It fails without the checkers of internal/server/server.go, and without the counter in change
// (internal/lifecycle/lifecycle.go).
func TestPromise07_NoLostCallbackMatters(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, e2etest.Unlimited)
	f.Config.KIE.URL = e2etest.HoldChecks(t, f.Sim, "called")
	replicas := f.StartAll(t, 2)
	want := map[string]int{}
	var ids []string
	for i, directive := range []string{
		"[sim:never]", "[sim:undeliverable]", "[sim:bad-signature]", "[sim:null-data]", "[sim:never,fail]", "[sim:never,invisible=500ms]",
		"called", "called", "called [sim:early]", "called [sim:duplicate]",
	} {
		by := "check"
		if i >= 6 {
			by = "callback"
		}
		want[by]++
		ids = append(ids, replicas[i%2].Submit(t, directive).GetId())
	}
	for i, id := range ids {
		expected := refractv1.TaskState_TASK_STATE_SUCCEEDED
		if i == 4 {
			expected = refractv1.TaskState_TASK_STATE_FAILED
		}
		if last := replicas[i%2].End(t, id); last.GetState() != expected {
			t.Errorf("task %d ended %v, want %v", i, last, expected)
		}
	}
	for by, n := range want {
		got := 0
		for _, ts := range replicas {
			got += ts.Metric(t, "refract_attempt_verdicts_total", `by="`+by+`"`)
		}
		if got != n {
			t.Errorf("%d verdicts by %s are counted, want %d", got, by, n)
		}
	}
	for prompt, paid := range sim.CountPaid(f.Sim.Ledger(), sim.ByPrompt) {
		if paid > 2 { // Two tasks have the same prompt.
			t.Errorf("%q was paid %d times", prompt, paid)
		}
	}
}

// TestPromise07_EveryAttemptIsAskedAbout makes the checks of many attempts due at once at two replicas, which share the
// provider's limit of 10 queries a second. The provider answers none of them, which must not delay the others. Each
// query must have its own time in the account's queue. TestUpstream_NoSecondHoldsMoreQuestionsThanTheLimit proves that
// queries at their times stay within the limit.
//
// It fails when each replica applies the limit for itself (reserveQueries in internal/postgres/query_reservation.go without
// "greatest"), and without the reservations in internal/upstream/upstream.go. TestChecker_AsksOnWhileAnswersAreAwaited
// fails when round in internal/dispatch/check.go waits for the answers to its queries.
func TestPromise07_EveryAttemptIsAskedAbout(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.KIE.Poll = time.Hour
		c.Processing, c.Kie.QueryLimit = time.Hour, sim.Limit{N: 1000, Window: time.Second}
		c.QueryDelay = time.Hour
	})
	ts := f.StartAll(t, 2)[0]
	const attempts = 45 // More than two batches.
	for range attempts {
		ts.Submit(t, "")
	}
	e2etest.Eventually(t, "all to run", func() bool {
		return postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM attempt WHERE state = 'RUNNING'") == attempts
	})
	due := postgrestest.Value[time.Time](t, ts.Pool, "SELECT clock_timestamp()")
	postgrestest.Exec(t, ts.Pool, "UPDATE attempt SET next_check_time = now()")
	var seen sim.Usage
	e2etest.Eventually(t, "all to be asked about", func() bool {
		for _, u := range ts.Sim.Limits().Queries {
			seen = u
		}
		return seen.Accepted == attempts
	})
	next := postgrestest.Value[time.Time](t, ts.Pool, "SELECT next_time FROM provider_query WHERE account = 'kie'")
	if line, want := next.Sub(due), attempts*time.Second/10; line < want {
		t.Errorf("%d queries took %s of the account's queue, want a tenth of a second each", attempts, line)
	}
}
