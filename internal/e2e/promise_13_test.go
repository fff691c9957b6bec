package e2e_test

import (
	"fmt"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
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
	withdrawWhileQueued(t, 100)
}

// withdrawWhileQueued withdraws a model while n tasks of it are queued.
func withdrawWhileQueued(t *testing.T, n int) {
	t.Helper()
	const inFlight = 20
	control := simkie.NewControl()
	ts := startService(t, func(f *server.Config, c *simConfig) {
		unlimited(f, c)
		f.KIE.Limits = []string{fmt.Sprintf("1000/1s/%d", inFlight)}
		f.Luma = server.Upstream{APIKeys: []redact.Secret{testAPIKey}, Limits: []string{"1000/1s/1000"}, Poll: 300 * time.Millisecond}
		c.Kie.Control = control
		c.Luma.SubmitLimit, c.Luma.QueryLimit, c.Luma.MaxConcurrent = sim.Limit{N: -1}, sim.Limit{N: -1}, -1
		c.Processing = 20 * time.Millisecond
	})
	ids := ts.submitMany(t, n, at(kie.Name, luma.Name))
	ts.sent(t, inFlight)
	control.Withdraw("modify/generate")
	for _, id := range ids {
		if got := ts.end(t, id); got.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Fatalf("task %s ended as %v, want SUCCEEDED", id, got)
		}
	}
	ledger := ts.sim.Ledger()
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
	paused := ask[int](t, ts.pool, "SELECT count(*)::int FROM provider_account WHERE pauses > 0 OR hold_reason IS NOT NULL")
	if paused != 0 {
		t.Errorf("%d accounts are paused, want none: only the offering is closed", paused)
	}
}

// submitMany submits tasks with prompts of their own, many in a call.
func (ts *testService) submitMany(t *testing.T, n int, amend func(*refractv1.SubmitTaskRequest)) []string {
	t.Helper()
	var ids []string
	for len(ids) < n {
		req := &refractv1.BatchSubmitTasksRequest{}
		for range min(n-len(ids), 500) {
			r := goodRequest()
			r.Prompt = fmt.Sprintf("A neon city, take %d", len(ids)+len(req.GetRequests()))
			amend(r)
			req.Requests = append(req.Requests, r)
		}
		resp, err := ts.tasks.BatchSubmitTasks(ts.ctx(t), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resp.GetResults() {
			if r.GetTask() == nil {
				t.Fatalf("submit: %v", r)
			}
			ids = append(ids, r.GetTask().GetId())
		}
	}
	return ids
}
