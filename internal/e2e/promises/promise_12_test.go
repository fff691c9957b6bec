package promises_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestPromise12_Graceful stops one of two processes with SIGTERM while its submissions are under way and watchers watch. The
// provider answers after the streams have ended. The process must end cleanly, the streams must end with UNAVAILABLE and
// resume at the other process, and no submission may be left with an unknown outcome.
//
// It fails when drain (internal/server/run.go) cancels running jobs, as StopAndCancel of River does.
func TestPromise12_Graceful(t *testing.T) {
	t.Parallel()
	provider, err := sim.Start(sim.Config{}, simkie.Profile{
		WebhookKey: e2etest.WebhookKey, SubmitLimit: sim.Limit{N: -1}, QueryLimit: sim.Limit{N: -1},
		CallbackAttempts: 500, CallbackSpacing: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	database := postgrestest.URL(t)
	pool := postgrestest.Connect(t, database)
	gate := e2etest.StartGate(t)
	gate.Open.Store(true)
	streams, ended := sync.WaitGroup{}, make(chan struct{})
	goOn := sync.OnceFunc(func() { close(ended) })
	proxy := startSubmissionProxy(t, provider, func(string, int) ending {
		return func(w http.ResponseWriter, pass func() (int, []byte)) {
			<-ended
			status, body := pass()
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
	})
	t.Cleanup(goOn)
	args := e2etest.ProcessArgs(t, e2etest.FewConnections(database), proxy.url, "--callback-url="+gate.URL)
	first := e2etest.StartProcess(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	var resumed sync.WaitGroup
	t.Cleanup(func() { cancel(); resumed.Wait() }) // Nothing reports to a test that has ended.

	const tasks = 8
	ids := make([]string, tasks)
	for i := range ids {
		req := e2etest.GoodRequest()
		req.Prompt += fmt.Sprintf(" %d [sim:delay=1s]", i) // The answer takes a second, so that a process that cancels its submissions cuts them.
		resp, err := first.Tasks.SubmitTask(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = resp.GetTask().GetId()
	}
	e2etest.Eventually(t, "all submissions to be under way", func() bool { return proxy.total() == tasks })
	second := e2etest.StartProcess(t, args...)
	gate.ToAddress(second.Ingress)

	for _, id := range ids {
		stream, err := first.Tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: new(int64)})
		if err != nil {
			t.Fatal(err)
		}
		streams.Add(1)
		resumed.Go(func() {
			revision, err := drainStream(stream, 0)
			streams.Done()
			if got := e2etest.RefusalOf(err); got.Code != codes.Unavailable || got.Reason != "SHUTTING_DOWN" {
				t.Errorf("a stream ended with %v, want UNAVAILABLE with SHUTTING_DOWN", err)
			}
			again, err := second.Tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: &revision})
			if err != nil {
				t.Error(err)
				return
			}
			last, err := drainStream(again, revision)
			if err != nil || last < revision+1 {
				t.Errorf("the stream that resumed after revision %d ended at %d with %v", revision, last, err)
			}
		})
	}
	go func() { streams.Wait(); goOn() }()
	first.Terminate(t)
	resumed.Wait()
	if n := postgrestest.Value[int](t, pool, "SELECT count(*) FROM task_event WHERE message LIKE '%unknown%'"); n != 0 {
		t.Errorf("%d submissions were left with unknown outcome", n)
	}
	if n := postgrestest.Value[int](t, pool, "SELECT count(*) FROM task WHERE state = 'SUCCEEDED'"); n != tasks {
		t.Errorf("%d of %d tasks succeeded", n, tasks)
	}
	for prompt, paid := range sim.CountPaid(provider.Ledger(), sim.ByPrompt) {
		if paid != 1 {
			t.Errorf("%q was paid %d times, want once", prompt, paid)
		}
	}
}

// drainStream reads a stream to its end, and returns the newest revision and the error of the stream; nil means that
// the task ended.
func drainStream(stream grpc.ServerStreamingClient[refractv1.WatchTaskResponse], revision int64) (int64, error) {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return revision, nil
		}
		if err != nil {
			return revision, err
		}
		if e := m.GetEvent(); e != nil {
			if e.GetRevision() != revision+1 {
				return revision, fmt.Errorf("revision %d came after %d", e.GetRevision(), revision)
			}
			revision = e.GetRevision()
		}
	}
}
