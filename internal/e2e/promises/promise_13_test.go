package promises_test

import (
	"fmt"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestPromise13_AWithdrawnModelCostsCallersNothing queues tasks of one model, and withdraws it at the first provider of their route
// while they are sent. All tasks end with one paid attempt each.
//
// It fails when the answer of the provider does not close the offering.
func TestPromise13_AWithdrawnModelCostsCallersNothing(t *testing.T) {
	t.Parallel()
	withdrawWhileQueued(t, 60)
}

// withdrawWhileQueued withdraws a model while n tasks of it are queued.
func withdrawWhileQueued(t *testing.T, n int) {
	t.Helper()
	const inFlight = 20
	control := simkie.NewControl()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.KIE.Limits = []string{fmt.Sprintf("1000/1s/%d", inFlight)}
		f.Luma = server.Upstream{APIKeys: []redact.Secret{e2etest.APIKey}, Limits: []string{"1000/1s/1000"}, Poll: 300 * time.Millisecond}
		c.Kie.Control = control
		c.Luma.SubmitLimit, c.Luma.QueryLimit, c.Luma.MaxConcurrent = sim.Limit{N: -1}, sim.Limit{N: -1}, -1
		c.Processing = 20 * time.Millisecond
	})
	ids := ts.SubmitMany(t, n, e2etest.At(kie.Name, luma.Name))
	ts.AwaitSent(t, inFlight)
	control.Withdraw("modify/generate")
	for _, id := range ids {
		if got := ts.End(t, id); got.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Fatalf("task %s ended as %v, want SUCCEEDED", id, got)
		}
	}
	ledger := ts.Sim.Ledger()
	if paid := sim.CountPaid(ledger, sim.ByPrompt); len(paid) != n {
		t.Errorf("%d prompts were paid for, want %d", len(paid), n)
	} else {
		for prompt, times := range paid {
			if times != 1 {
				t.Errorf("%q was paid for %d times", prompt, times)
			}
		}
	}
	refused := 0
	for _, e := range ledger {
		if e.Profile == kie.Name && !e.Paid {
			refused++
		}
	}
	if probes := 1; refused == 0 || refused > inFlight+probes {
		t.Errorf("kie refused %d submissions of the withdrawn model, want some, and at most the %d that were in flight, and a probe", refused, inFlight)
	}
	paused := postgrestest.Value[int](t, ts.Pool, "SELECT count(*)::int FROM provider_account WHERE pauses > 0 OR hold_reason IS NOT NULL")
	if paused != 0 {
		t.Errorf("%d accounts are paused, want none: only the offering is closed", paused)
	}
}
