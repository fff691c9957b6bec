package operation_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/nettest"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestRoles_ARollingRestartLosesNothing restarts, under load and one after the other, two processes with api and worker, and the process
// with ingress, of which the successor serves before the first one stops. Every callback must be answered 200 at its first try. Watchers
// of package client must see each revision once and in order, and nothing but reconnects.
//
// It fails when drain (internal/server/run.go) does not end streams with UNAVAILABLE. The ingress that stops has no callback on its way,
// as behind a load balancer that waits for the requests of a target that it removes.
func TestRoles_ARollingRestartLosesNothing(t *testing.T) {
	t.Parallel()
	provider, err := sim.Start(sim.Config{}, simkie.Profile{WebhookKey: e2etest.WebhookKey, SubmitLimit: sim.Limit{N: -1}, QueryLimit: sim.Limit{N: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	database := e2etest.FewConnections(postgrestest.URL(t))
	gate := e2etest.StartGate(t) // What a platform's load balancer does: it knows which ingress is ready.
	gate.Open.Store(true)
	startIngress := func() *e2etest.Process {
		return e2etest.StartProcess(t, "--roles=ingress", "--database-url="+postgrestest.Role(t, database, migrations.IngressRole), "--callback-key="+testCallbackKey,
			"--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0")
	}
	ingress := startIngress()
	gate.ToAddress(ingress.Ingress)
	addresses := []string{nettest.FreeAddress(t), nettest.FreeAddress(t)}
	args := e2etest.ProcessArgs(t, database, provider.URL(), "--roles=api,worker", "--callback-key="+testCallbackKey, "--callback-url="+gate.URL)
	startReplica := func(i int) *e2etest.Process {
		return e2etest.StartProcess(t, append(args, "--grpc-address="+addresses[i])...)
	}
	replicas := []*e2etest.Process{startReplica(0), startReplica(1)}

	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	load := startFleetLoad(ctx, t, addresses)
	t.Cleanup(func() { cancel(); load.running.Wait() }) // Nothing reports to a test that has ended.
	settled := func() int { return len(provider.Deliveries()) }
	underLoad := func(step string) { // More callbacks come, so that the step happens in between.
		t.Helper()
		before := settled()
		if err := provider.Await(ctx, func() bool { return settled() >= before+2 }); err != nil {
			t.Fatalf("callbacks before %s: %v", step, err)
		}
	}
	lasting := load.submit(ctx, t, "lasting", "1h")
	if lasting == "" {
		t.FailNow()
	}
	for i := range replicas {
		interruptions := load.watchAt(ctx, t, addresses[i], lasting) // A stream is open at the replica that ends.
		underLoad(fmt.Sprintf("replica %d restarts", i+1))
		replicas[i].Terminate(t)
		underLoad(fmt.Sprintf("replica %d is back", i+1))
		replicas[i] = startReplica(i)
		// The watcher then sees the end of the task, so it has reconnected.
		e2etest.Eventually(t, fmt.Sprintf("the stream at replica %d to be interrupted", i+1), func() bool { return interruptions.Load() > 0 })
	}
	underLoad("the ingress restarts")
	successor := startIngress()
	gate.ToAddress(successor.Ingress).Wait() // No callback is on its way to the ingress that ends.
	ingress.Terminate(t)
	underLoad("the end")
	if _, err := load.client.Tasks().CancelTask(ctx, &refractv1.CancelTaskRequest{TaskId: lasting}); err != nil {
		t.Fatal(err)
	}
	load.finish()

	if n := load.tasks.Load(); n < 10 {
		t.Errorf("%d tasks were watched: this was no restart under load", n)
	}
	for _, d := range provider.Deliveries() {
		if d.Status != http.StatusOK || d.Attempt != 1 {
			t.Errorf("try %d of a callback was answered %d %s, want 200 at the first", d.Attempt, d.Status, d.Error)
		}
	}
	for prompt, paid := range sim.CountPaid(provider.Ledger(), sim.ByPrompt) {
		if paid != 1 {
			t.Errorf("%q was paid %d times, want once", prompt, paid)
		}
	}
	t.Logf("%d callbacks of %d tasks were answered 200 at the first try; watchers of any replica were interrupted %d times", settled(), load.tasks.Load(), load.interruptions.Load())
}

// fleetLoad are tasks that are submitted and watched all the time.
type fleetLoad struct {
	client        *client.Client // Of all replicas, in turn.
	running       sync.WaitGroup
	tasks         atomic.Int64
	interruptions atomic.Int64 // Of the watchers of client.
	finish        func()       // Submits no more, and waits until all tasks have ended.
}

// startFleetLoad submits and watches tasks at replicas, four at a time, by package client. The caller cancels ctx and waits for running
// before the test ends.
func startFleetLoad(ctx context.Context, t *testing.T, addresses []string) *fleetLoad {
	t.Helper()
	fleet := manual.NewBuilderWithScheme("fleet")
	state := resolver.State{}
	for _, address := range addresses {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}})
	}
	fleet.InitialState(state)
	conn, err := grpc.NewClient("fleet:///api", grpc.WithResolvers(fleet), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	l := &fleetLoad{client: client.New(conn)}
	stop := make(chan struct{})
	for worker := range 4 {
		l.running.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-ctx.Done():
					t.Error("the load did not end")
					return
				default:
				}
				id := l.submit(ctx, t, fmt.Sprintf("take-%d-%d", worker, n), "2s")
				if id == "" {
					return
				}
				if last := l.watch(ctx, t, l.client, id, &l.interruptions, func() {}); last != refractv1.TaskState_TASK_STATE_SUCCEEDED {
					t.Errorf("a task ended %v, want success", last)
					return
				}
			}
		})
	}
	l.finish = func() {
		close(stop)
		l.running.Wait()
	}
	return l
}

// submit submits a task that the provider works on for so long. It returns its id, or none if that failed.
func (l *fleetLoad) submit(ctx context.Context, t *testing.T, name, processing string) (id string) {
	t.Helper()
	req := e2etest.GoodRequest()
	req.RequestId, req.Prompt = name, name+" [sim:processing="+processing+"]"
	submitted, err := l.client.Submit(ctx, req)
	for client.Transient(err) && ctx.Err() == nil {
		submitted, err = l.client.Submit(ctx, req)
	}
	if err != nil {
		t.Errorf("submit: %v", err)
		return ""
	}
	l.tasks.Add(1)
	return submitted.GetId()
}

// watch watches a task from its first revision to its end, counts the interruptions, and calls begun at the first revision. It returns the
// last state.
func (l *fleetLoad) watch(ctx context.Context, t *testing.T, c *client.Client, id string, interruptions *atomic.Int64, begun func()) (last refractv1.TaskState) {
	t.Helper()
	var revision int64
	for m, err := range c.Watch(ctx, id, client.AfterRevision(0), client.OnRetry(func(err error) {
		interruptions.Add(1)
		if status.Code(err) != codes.Unavailable {
			t.Errorf("a stream ended with %v, want UNAVAILABLE", err)
		}
	})) {
		if err != nil {
			t.Errorf("watch: %v", err)
			return refractv1.TaskState_TASK_STATE_UNSPECIFIED
		}
		if got := m.GetEvent().GetRevision(); got != revision+1 {
			t.Errorf("revision %d came after %d", got, revision)
		}
		if revision == 0 {
			begun()
		}
		revision, last = m.GetEvent().GetRevision(), m.GetEvent().GetState()
	}
	return last
}

// watchAt watches a task at one replica, and returns when the stream is open. It returns the count of interruptions, one for each try that
// failed. The task is to be canceled before the end of the load.
func (l *fleetLoad) watchAt(ctx context.Context, t *testing.T, address, id string) *atomic.Int64 {
	t.Helper()
	c, err := client.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	begun, interruptions := make(chan struct{}), new(atomic.Int64)
	l.running.Go(func() {
		if last := l.watch(ctx, t, c, id, interruptions, func() { close(begun) }); last != refractv1.TaskState_TASK_STATE_CANCELED {
			t.Errorf("the lasting task ended %v, want it canceled", last)
		}
	})
	select {
	case <-begun:
	case <-ctx.Done():
		t.Fatal("no stream opens")
	}
	return interruptions
}
