package promises_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// TestPromise09_TheFleetObeysTheProvider makes three replicas send as fast as they may to a provider that counts
// submissions, answers slowly at times, and loses answers. Meanwhile an operator changes the limits.
//
// It fails when countUsage (internal/postgres/admit_tasks.go) ignores attempts without an answer, or attempts whose
// answer is younger than the window, or counts the window from create_time.
func TestPromise09_TheFleetObeysTheProvider(t *testing.T) {
	t.Parallel()
	const (
		window           = time.Second
		few, many, tasks = 5, 9, 36
	)
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		f.KIE.Limits = []string{fmt.Sprintf("%d/%s/%d", few, window, few+3)}
		c.Processing = 300 * time.Millisecond
		c.Kie.SubmitLimit = sim.Limit{N: -1, Window: window} // It refuses none, and records the fullest window.
		c.Kie.QueryLimit = sim.Limit{N: -1, Window: window}
	})
	provider, replicas := f.Sim, f.StartAll(t, 3)
	ctx, cancel := context.WithTimeout(e2etest.As(t.Context(), f.Token), e2etest.Hung)
	defer cancel()
	faults := []string{"", "", "[sim:delay=700ms]", "", "[sim:early]", "[sim:drop-after]"}
	submit := func(i int, fault string) {
		t.Helper()
		req := e2etest.GoodRequest()
		req.RequestId, req.Prompt = uuid.NewString(), fmt.Sprintf("city %d %s", i, fault)
		if _, err := replicas[i%len(replicas)].Tasks.SubmitTask(ctx, req); err != nil {
			t.Fatal(err)
		}
	}
	for i := range tasks {
		submit(i, faults[i%len(faults)])
	}
	arrived := func(n int) func() bool { return func() bool { return len(provider.Ledger()) >= n } }
	if err := provider.Await(ctx, arrived(tasks/3)); err != nil {
		t.Fatal(err)
	}
	expectLimits(t, provider, few, few+3)
	if _, err := f.Pool.Exec(ctx, "UPDATE provider_account SET max_submissions = $1, rate_window = $2, max_in_flight = $3", many, window, many+3); err != nil {
		t.Fatal(err)
	}
	for i := range many { // Their answers take so long that a slow machine has sent them all before the first comes.
		submit(tasks+i, "[sim:delay=10s]")
	}
	if err := provider.Await(ctx, arrived(tasks+many)); err != nil {
		t.Fatal(err)
	}
	expectLimits(t, provider, many, many+3)
	// The machine decides how many arrive in one window; admission decides how many may.
	const mostPermits = `
		SELECT max((
			SELECT count(*) FROM attempt AS other
			WHERE other.create_time <= attempt.create_time AND coalesce(other.answer_time + $1 > attempt.create_time, true)))
		FROM attempt`
	if most := postgrestest.Value[int](t, f.Pool, mostPermits, window); most <= few {
		t.Errorf("at most %d permits were taken at a time after the limit was raised to %d: it is not used", most, many)
	}
	_ = provider.Close() // The replicas would wait for its last answers before they end.
}

// expectLimits checks the fullest window and the highest number of concurrent generations that the provider saw.
func expectLimits(t *testing.T, provider *sim.Server, submissions, inFlight int) {
	t.Helper()
	l := provider.Limits()
	if got := l.Submissions[0].PeakArrived; got > submissions {
		t.Errorf("%d submissions arrived in one window of %s, want at most %d", got, l.Submissions[0].Window, submissions)
	}
	if l.PeakInFlight > inFlight {
		t.Errorf("%d generations ran at a time, want at most %d", l.PeakInFlight, inFlight)
	}
}
