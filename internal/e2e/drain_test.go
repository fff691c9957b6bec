package e2e_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestDrain_LeavesNoConnectionAndNoGoroutine stops a service in the middle of every kind of work. It is not parallel:
// no other test may run in this process while it counts.
func TestDrain_LeavesNoConnectionAndNoGoroutine(t *testing.T) {
	_ = postgrestest.URL(t) // The database server runs from here on.
	http.DefaultClient.CloseIdleConnections()
	goroutines, sockets := goleak.IgnoreCurrent(), openSockets(t)
	t.Run("service", func(t *testing.T) {
		ts := startService(t, everyProvider)
		watchers := ts.makeBusy(t)
		ts.stop()
		watchers.Wait()

		await(t, "connections of the service to the database", func() []string {
			var names []string
			err := ts.pool.QueryRow(t.Context(), `
				SELECT coalesce(array_agg(application_name || ': ' || left(query, 60)), '{}')
				FROM pg_stat_activity
				WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&names)
			if err != nil {
				t.Fatal(err)
			}
			return names
		})
		ts.pool.Close()
		http.DefaultClient.CloseIdleConnections()
		// The simulator still listens, so a connection that leaked would stay open.
		theirs := ts.sim.URL() + ts.sim.BaseURL("luma") + ts.sim.BaseURL("luma-agents")
		await(t, "sockets", func() []string {
			var left []string
			for inode, socket := range openSockets(t) {
				_, before := sockets[inode]
				simulator := socket.listens && strings.Contains(theirs, socket.local)
				if !before && !simulator {
					left = append(left, socket.String())
				}
			}
			return left
		})
	})
	if err := goleak.Find(goroutines); err != nil {
		t.Error(err)
	}
}

// makeBusy gives the service running attempts at every provider, a stream of callbacks, a long save, and watchers over
// gRPC and HTTP. The watchers end with the service.
func (ts *testService) makeBusy(t *testing.T) *sync.WaitGroup {
	t.Helper()
	at := func(name string) func(*refractv1.SubmitTaskRequest) {
		return func(r *refractv1.SubmitTaskRequest) { r.Provider = name }
	}
	running := ts.submit(t, "[sim:processing=1h]")
	for _, name := range []string{"luma", "luma-agents"} {
		ts.await(t, ts.submit(t, "[sim:processing=1h]", at(name)).GetId(), isRunning)
	}
	ts.await(t, running.GetId(), isRunning)
	ts.end(t, ts.submit(t, "").GetId())
	ts.submit(t, "[sim:duplicate=9]")
	ts.submit(t, "[sim:slow=5s]")
	done := len(ts.sim.Downloads())
	if err := ts.sim.Await(ts.ctx(t), func() bool { return len(ts.sim.Downloads()) > done+1 }); err != nil {
		t.Fatalf("the save does not begin: %v", err)
	}

	watchers := &sync.WaitGroup{}
	for range 10 {
		stream, err := ts.tasks.WatchTask(ts.ctx(t), &refractv1.WatchTaskRequest{TaskId: running.GetId(), AfterRevision: new(int64)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		watchers.Go(func() {
			var err error
			for err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != codes.Unavailable {
				t.Errorf("a watch ended with %v, want UNAVAILABLE", err)
			}
		})
		lines := ts.watchHTTP(t, running.GetId())
		watchers.Go(func() {
			last := ""
			for lines.Scan() {
				last = lines.Text()
			}
			if !strings.Contains(last, "SHUTTING_DOWN") {
				t.Errorf("a watch over HTTP ended with %q, want SHUTTING_DOWN", last)
			}
		})
	}
	ts.uploadSilently(t, watchers)
	return watchers
}

// uploadSilently starts uploads that send no more bytes. They end with the service.
func (ts *testService) uploadSilently(t *testing.T, g *sync.WaitGroup) {
	t.Helper()
	header := &refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Header{
		Header: &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: 100},
	}}
	chunk := &refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: []byte("x")}}
	for _, messages := range [][]*refractv1.UploadSourceRequest{nil, {header}, {header, chunk}} {
		stream, err := ts.tasks.UploadSource(ts.ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if err := stream.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		g.Go(func() {
			err := stream.RecvMsg(&refractv1.UploadSourceResponse{})
			if status.Code(err) != codes.Unavailable {
				t.Errorf("an upload of %d messages ended with %v, want UNAVAILABLE", len(messages), err)
			}
		})
	}
	body, unsent := io.Pipe()
	req, err := http.NewRequestWithContext(ts.ctx(t), http.MethodPut,
		"http://"+ts.HTTPAddr()+"/v1/sources/"+uuid.NewString(), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ts.token)
	req.Header.Set("Content-Range", "bytes 0-99/100")
	req.Header.Set("Expect", "100-continue") // The body is sent when the service reads it.
	g.Go(func() {
		defer func() { _ = unsent.Close() }()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("an upload over HTTP: %v", err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("an upload over HTTP ended with %s, want 503", resp.Status)
		}
	})
	if _, err := unsent.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
}

func isRunning(e *refractv1.TaskEvent) bool {
	return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING
}

// watchHTTP watches a task over HTTP and returns its lines after the first.
func (ts *testService) watchHTTP(t *testing.T, id string) *bufio.Scanner {
	t.Helper()
	req, err := http.NewRequestWithContext(ts.ctx(t), http.MethodGet,
		"http://"+ts.HTTPAddr()+"/v1/tasks/"+id+":watch?after_revision=0", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ts.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() {
		t.Fatalf("no first line: %v", lines.Err())
	}
	return lines
}

// await waits until nothing is left. The other end of a connection notices a moment later that it was closed.
func await(t *testing.T, what string, left func() []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		rest := left()
		if len(rest) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%d %s are left: %q", len(rest), what, rest)
			return
		case <-tick.C:
		}
	}
}
