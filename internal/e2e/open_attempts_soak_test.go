//go:build soak

package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// TestSoak_OpenAttemptsAreAskedAboutAsFastAsTheProviderAllows makes replicas follow 500 attempts whose callbacks never
// come, at a provider that allows ten queries a second. All checks are due at once. Two replicas, or one whose queries
// are answered slowly, must ask about all of them within a minute. It measures time, so it needs a machine that does
// nothing else.
func TestSoak_OpenAttemptsAreAskedAboutAsFastAsTheProviderAllows(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		replicas int
		answers  time.Duration
	}{
		"two replicas": {2, 0},
		"slow answers": {1, 1500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			askAboutAll(t, tc.replicas, tc.answers)
		})
	}
}

// openAttempts is how many open attempts the test of polling follows.
const openAttempts = 500

// askAboutAll makes replicas ask about open attempts that are all due at once, at a provider with slow answers.
func askAboutAll(t *testing.T, n int, answers time.Duration) {
	t.Helper()
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		f.KIE.Limits = []string{fmt.Sprintf("%d/1s/%[1]d", openAttempts)}
		c.Processing, c.Kie.SubmitLimit, c.QueryDelay = time.Hour, sim.Limit{N: -1, Window: time.Second}, answers
	})
	provider, replicas := f.Sim, f.StartAll(t, n)
	ctx, cancel := context.WithTimeout(e2etest.As(t.Context(), f.Token), e2etest.Hung)
	defer cancel()
	for i := range openAttempts {
		if _, err := replicas[i%n].Tasks.SubmitTask(ctx, e2etest.GoodRequest()); err != nil {
			t.Fatal(err)
		}
	}
	running := func() bool {
		var n int
		err := f.Pool.QueryRow(ctx, "SELECT count(*) FROM attempt WHERE state = 'RUNNING'").Scan(&n)
		return err == nil && n == openAttempts
	}
	if err := provider.Await(ctx, running); err != nil {
		t.Fatal(err)
	}
	before := e2etest.Queries(provider)
	start := time.Now()
	if _, err := f.Pool.Exec(ctx, "UPDATE attempt SET next_check_time = now()"); err != nil {
		t.Fatal(err)
	}
	if err := provider.Await(ctx, func() bool { return e2etest.Queries(provider) >= before+openAttempts }); err != nil {
		t.Fatal(err)
	}
	// A replica may find a due check half a second late.
	if took := time.Since(start); took > time.Minute+time.Second {
		t.Errorf("%d open attempts were all asked about within %s, want the rate of 500 a minute", openAttempts, took)
	}
}
