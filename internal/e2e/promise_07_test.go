package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
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
	f := startFleet(t, unlimited)
	f.flags.KIE.URL = holdChecks(t, f.sim, "called")
	replicas := f.startAll(t, 2)
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
		ids = append(ids, replicas[i%2].submit(t, directive).GetId())
	}
	for i, id := range ids {
		expected := refractv1.TaskState_TASK_STATE_SUCCEEDED
		if i == 4 {
			expected = refractv1.TaskState_TASK_STATE_FAILED
		}
		if last := replicas[i%2].end(t, id); last.GetState() != expected {
			t.Errorf("task %d ended %v, want %v", i, last, expected)
		}
	}
	for by, n := range want {
		got := 0
		for _, ts := range replicas {
			got += ts.metric(t, "refract_attempt_verdicts_total", `by="`+by+`"`)
		}
		if got != n {
			t.Errorf("%d verdicts by %s are counted, want %d", got, by, n)
		}
	}
	for prompt, paid := range sim.CountPaid(f.sim.Ledger(), sim.ByPrompt) {
		if paid > 2 { // Two tasks have the same prompt.
			t.Errorf("%q was paid %d times", prompt, paid)
		}
	}
}

// holdChecks starts a proxy to the provider and returns its address. A check of a task whose prompt contains a word
// waits until a callback about that task was accepted, so no check is faster than the callback.
func holdChecks(t *testing.T, provider *sim.Server, word string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("taskId")
		if slices.ContainsFunc(provider.Ledger(), func(e sim.Entry) bool { return id != "" && e.TaskID == id && strings.Contains(e.Prompt, word) }) {
			_ = provider.Await(r.Context(), func() bool {
				return slices.ContainsFunc(provider.Deliveries(), func(d sim.Delivery) bool { return d.TaskID == id && d.Status == http.StatusOK })
			})
		}
		forward(w, r, provider.URL())
	}))
	t.Cleanup(server.Close)
	return server.URL
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
	f := startFleet(t, func(f *server.Config, c *simConfig) {
		unlimited(f, c)
		f.KIE.Poll = time.Hour
		c.Processing, c.Kie.QueryLimit = time.Hour, sim.Limit{N: 1000, Window: time.Second}
		c.QueryDelay = time.Hour
	})
	ts := f.startAll(t, 2)[0]
	const attempts = 45 // More than two batches.
	for range attempts {
		ts.submit(t, "")
	}
	eventually(t, "all to run", func() bool {
		return ask[int](t, ts.pool, "SELECT count(*) FROM attempt WHERE state = 'RUNNING'") == attempts
	})
	due := ask[time.Time](t, ts.pool, "SELECT clock_timestamp()")
	do(t, ts.pool, "UPDATE attempt SET next_check_time = now()")
	var seen sim.Usage
	eventually(t, "all to be asked about", func() bool {
		for _, u := range ts.sim.Limits().Queries {
			seen = u
		}
		return seen.Accepted == attempts
	})
	next := ask[time.Time](t, ts.pool, "SELECT next_time FROM provider_query WHERE account = 'kie'")
	if line, want := next.Sub(due), attempts*time.Second/10; line < want {
		t.Errorf("%d queries took %s of the account's queue, want a tenth of a second each", attempts, line)
	}
}
