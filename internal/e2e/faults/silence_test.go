package faults_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestFaults_ASilentDatabaseHoldsNothingUpForGood silences the link of the only replica to the database for longer than
// the replica waits for an answer, while tasks are at every stage. The replica is not restarted, and all loops must
// continue by themselves: admission, submissions, checks, saves, the job queue and the listener.
func TestFaults_ASilentDatabaseHoldsNothingUpForGood(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	limits := map[string]audit.Limit{}
	for _, p := range providers {
		limits[p] = audit.Limit{Submissions: 20, Window: time.Second, InFlight: 50}
	}
	f := newFleet(t, fleetConfig{replicas: 1, databaseURL: postgrestest.URL(t), limits: limits})
	f.start(ctx)
	client := f.dial()
	var orders int
	give := func(faults ...string) {
		t.Helper()
		for _, fault := range faults {
			for _, provider := range providers {
				orders++
				o := order{
					requestID: fmt.Sprintf("order-%d", orders), provider: provider, maxAttempts: 1, outcomes: []string{"SUCCEEDED"},
					prompt: fmt.Sprintf("order %d [sim:%s]", orders, fault),
				}
				if provider == "luma-agents" { // If the commit of the intent got no answer, its outcome stays unknown.
					o.outcomes = append(o.outcomes, "FAILED/OUTCOME_UNKNOWN")
				}
				if _, err := f.submit(ctx, client, o); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	late := outlast.late.String()
	give("processing=1s", "processing=3s", "processing="+late, "delay=2s", "delay="+late, "slow=5s")
	_ = pause(ctx, 300*time.Millisecond)
	if err := f.replicas[0].link.poison(swallow); err != nil {
		t.Fatal(err)
	}
	_ = pause(ctx, outlast.silence)
	f.replicas[0].link.heal(ctx)
	give("processing=100ms")
	f.settle(ctx)
	f.drain()
	f.audit(ctx)
	if n := f.done.get("starts"); n != 1 {
		t.Errorf("the replica was started %d times, want once", n)
	}
}
