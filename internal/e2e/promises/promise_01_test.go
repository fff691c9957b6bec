package promises_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/nettest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestPromise01_DurableAcknowledgement kills the service while callers submit and callbacks arrive. The database, and
// the restarted service, must have everything that was acknowledged.
//
// It fails when Submit in internal/lifecycle/submit.go answers before CreateTasks has returned, or when
// SettleCallback in settle_callback.go leaves the Callback out of its Change.
func TestPromise01_DurableAcknowledgement(t *testing.T) {
	t.Parallel()
	provider, err := sim.Start(sim.Config{}, simkie.Profile{
		WebhookKey: e2etest.WebhookKey, SubmitLimit: sim.Limit{N: -1}, QueryLimit: sim.Limit{N: -1},
		CallbackAttempts: 2000, CallbackSpacing: 250 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	database := postgrestest.URL(t)
	pool := postgrestest.Connect(t, database)
	args := e2etest.ProcessArgs(t, e2etest.FewConnections(database), provider.URL(), "--ingress-address="+nettest.FreeAddress(t))
	first := e2etest.StartProcess(t, args...)

	requests := submitAndKill(t, first, provider)
	answered := map[string]int{}
	for _, d := range provider.Deliveries() {
		if d.Status == http.StatusOK {
			answered[d.TaskID]++
		}
	}
	for id, task := range requests {
		if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM task JOIN task_event ON task_id = id
			WHERE request_id = $1 AND id = $2 AND task_event.revision = 1`, id, task.GetId()); n != 1 {
			t.Errorf("task %s was acknowledged, and is not stored with its first event", task.GetId())
		}
	}
	for id, want := range answered {
		if n := postgrestest.Value[int](t, pool, "SELECT count(*) FROM callback WHERE provider_task_id = $1", id); n < want {
			t.Errorf("%d callbacks about %s were answered 200, and %d are in the inbox", want, id, n)
		}
	}

	second := e2etest.StartProcess(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	for id, task := range requests {
		again := e2etest.GoodRequest()
		again.RequestId, again.Prompt = id, task.GetPrompt()
		resp, err := second.Tasks.SubmitTask(ctx, again)
		if err != nil || resp.GetTask().GetId() != task.GetId() {
			t.Errorf("request %s made task %s, and then %s, %v", id, task.GetId(), resp.GetTask().GetId(), err)
		}
	}
	// Tasks that were paid for succeed. Attempts whose request was being sent at the kill wait for a callback.
	e2etest.Eventually(t, "every paid task to succeed", func() bool {
		return postgrestest.Value[int](t, pool, "SELECT count(*) FROM task WHERE state IN ('QUEUED', 'SUBMITTING', 'SAVING')") == 0 &&
			postgrestest.Value[int](t, pool, "SELECT count(*) FROM task WHERE state = 'SUCCEEDED'") == len(sim.CountPaid(provider.Ledger(), sim.ByPrompt))
	})
	for prompt, paid := range sim.CountPaid(provider.Ledger(), sim.ByPrompt) {
		if paid != 1 {
			t.Errorf("%q was paid %d times, want once", prompt, paid)
		}
	}
}

// submitAndKill makes callers submit to a process, and kills it while they do and while the callbacks about their first tasks arrive. It
// returns the acknowledged tasks by request id.
func submitAndKill(t *testing.T, p *e2etest.Process, provider *sim.Server) map[string]*refractv1.Task {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	const callers, enough = 8, 20
	var (
		mu       sync.Mutex
		requests = map[string]*refractv1.Task{}
		answered = make(chan struct{}) // Closed when some callbacks were answered.
		reached  = make(chan struct{}) // Closed when enough tasks are acknowledged.
		all      sync.WaitGroup
	)
	for i := range callers {
		all.Go(func() {
			for n := 0; ; n++ {
				req := e2etest.GoodRequest()
				req.Prompt = fmt.Sprintf("A neon city, caller %d, clip %d", i, n)
				resp, err := p.Tasks.SubmitTask(ctx, req)
				if err != nil {
					return // It may have been stored, but was not acknowledged.
				}
				mu.Lock()
				requests[req.GetRequestId()] = proto.CloneOf(resp.GetTask())
				if len(requests) == enough {
					close(reached)
				}
				mu.Unlock()
				select {
				case <-answered: // More tasks would only delay the first callbacks.
				case <-ctx.Done():
					return
				}
			}
		})
	}
	err := provider.Await(ctx, func() bool {
		n := 0
		for _, d := range provider.Deliveries() {
			if d.Status == http.StatusOK {
				n++
			}
		}
		return n >= 3
	})
	if err != nil {
		t.Fatalf("callbacks are not answered: %v", err)
	}
	close(answered)
	select {
	case <-reached:
	case <-ctx.Done():
		t.Fatal("the callers are not answered")
	}
	p.Kill()
	cancel()
	all.Wait()
	return requests
}
