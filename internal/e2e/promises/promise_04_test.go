package promises_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

// roster is the list of serving replicas. A watcher moves to the next one when its own drains.
type roster struct {
	mu       sync.Mutex
	replicas []*e2etest.Service
}

func (r *roster) nth(n int) *e2etest.Service {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.replicas[n%len(r.replicas)]
}

// replace drains the first replica and starts a new one in its place.
func (r *roster) replace(t *testing.T, f *e2etest.Fleet) {
	t.Helper()
	next := f.Start(t)
	r.mu.Lock()
	old := r.replicas[0]
	r.replicas = append(r.replicas[1:], next)
	r.mu.Unlock()
	old.Stop()
}

// seen is one event as a watcher received it, or as the database has it.
type seen struct {
	Revision int64
	State    string
	Message  string
}

// TestPromise04_EveryChangeOnceInOrder watches a task that changes continuously, with several watchers, one of which
// does not read for a long time. Meanwhile both replicas are drained and replaced. The watchers' events are compared
// with the table of events.
//
// It fails when catchUp in internal/watch/watch.go does not record what was sent, when Hub.Drain does not end streams,
// and when neither the listener nor sweeps wake watchers of changes that another replica made.
func TestPromise04_EveryChangeOnceInOrder(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		c.Processing = time.Hour
	})
	r := &roster{replicas: f.StartAll(t, 2)}
	id := r.nth(0).Submit(t, "").GetId()
	r.nth(0).Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })

	const watchers = 5
	written := make(chan struct{})
	histories := make([][]seen, watchers)
	var wg sync.WaitGroup
	for i := range watchers {
		wg.Go(func() {
			w := &watcher{id: id, roster: r, at: i}
			if i == 0 {
				w.pause = written // The slow watcher.
			}
			histories[i] = w.follow(t, written)
		})
	}
	for n := range 24 { // Each iteration makes two changes, the second of which adopts the attempt that still runs.
		ts := r.nth(n)
		if _, err := ts.Tasks.CancelTask(ts.Ctx(t), &refractv1.CancelTaskRequest{TaskId: id}); err != nil {
			t.Fatalf("cancel: %v", err)
		}
		r.nth(n+1).Retry(t, id)
		if n == 8 || n == 16 {
			r.replace(t, f)
		}
	}
	last := r.nth(0)
	if _, err := last.Tasks.CancelTask(last.Ctx(t), &refractv1.CancelTaskRequest{TaskId: id}); err != nil {
		t.Fatal(err)
	}
	close(written)
	wg.Wait()

	want := storedEvents(t, f, id)
	for i, got := range histories {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("watcher %d (-stored +seen):\n%s", i, diff)
		}
	}
	for after := range int64(len(want) + 1) {
		w := &watcher{id: id, roster: r, at: int(after), after: after}
		if diff := cmp.Diff(want[after:], w.follow(t, written), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("after revision %d (-stored +seen):\n%s", after, diff)
		}
	}
	streamWhileOthersAct(t, r)
	// A removed revision is refused with the oldest one that is left.
	postgrestest.Exec(t, f.Pool, "DELETE FROM task_event WHERE task_id = $1 AND revision <= 20", id)
	_, err := (&watcher{id: id, roster: r, after: 3}).once(t)
	if st := status.Convert(err); st.Code() != codes.OutOfRange || e2etest.InfoOf(st).GetMetadata()["oldest_revision"] != "21" {
		t.Errorf("a watch from before retention ended with %v, want OUT_OF_RANGE with oldest_revision 21", err)
	}
}

// streamWhileOthersAct streams two tasks at one replica. Another replica cancels the first one, which must be noticed without a new call.
// Then the replica drains, and the stream of the second one must end with the reason.
func streamWhileOthersAct(t *testing.T, r *roster) {
	t.Helper()
	other, streaming := r.nth(0), r.nth(1)
	begin := func() (string, grpc.ServerStreamingClient[refractv1.WatchTaskResponse]) {
		t.Helper()
		id := other.Submit(t, "").GetId()
		other.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
		stream, err := streaming.Tasks.WatchTask(streaming.Ctx(t), &refractv1.WatchTaskRequest{TaskId: id})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || m.GetTask().GetState() != refractv1.TaskState_TASK_STATE_RUNNING {
			t.Fatalf("the stream began with %v, %v, want the task, RUNNING", m, err)
		}
		return id, stream
	}
	canceled, first := begin()
	_, second := begin()
	if _, err := other.Tasks.CancelTask(other.Ctx(t), &refractv1.CancelTaskRequest{TaskId: canceled}); err != nil {
		t.Fatalf("cancel: %v", err)
	}
	for state := refractv1.TaskState_TASK_STATE_RUNNING; state != refractv1.TaskState_TASK_STATE_CANCELED; {
		m, err := first.Recv()
		if err != nil {
			t.Fatalf("the stream ended with %v before CANCELED", err)
		}
		state = m.GetEvent().GetState()
	}
	streaming.Stop()
	for {
		m, err := second.Recv()
		if err == nil && m.GetBookmark() != nil {
			continue
		}
		if got := e2etest.RefusalOf(err); got.Reason != "SHUTTING_DOWN" {
			t.Errorf("the stream ended with %v, %v, want the reason SHUTTING_DOWN", m, err)
		}
		return
	}
}

// TestPromise04_IdleStreamsCarryBookmarks waits for a bookmark at the default interval.
//
// It fails with a server.BookmarkInterval (internal/server/server.go) of 15 seconds or more.
func TestPromise04_IdleStreamsCarryBookmarks(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(_ *server.Config, c *e2etest.SimConfig) { c.Processing = time.Hour })
	id := ts.Submit(t, "").GetId()
	events := ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	newest := events[len(events)-1].GetRevision()
	stream, err := ts.Tasks.WatchTask(ts.Ctx(t), &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: &newest})
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.Recv()
	if err != nil || m.GetBookmark().GetRevision() != newest {
		t.Fatalf("the stream said %v, %v, want a bookmark of revision %d", m, err, newest)
	}
	if promised := 15 * time.Second; server.BookmarkInterval >= promised {
		t.Errorf("a bookmark is sent after %s of silence, and %s are promised", server.BookmarkInterval, promised)
	}
}

// TestPromise04_AReplicaWithoutItsDatabaseEndsItsStreams cuts one of two replicas off from the database. An idle stream
// of that replica follows a task that ends on the other one.
//
// It fails when bookmarks need no confirmation (tick in internal/watch/pulse.go), and when the hub does not report the
// loss of its log (Readable in internal/server/server.go).
func TestPromise04_AReplicaWithoutItsDatabaseEndsItsStreams(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		c.Processing = time.Hour
	})
	well := f.Start(t)
	u, err := url.Parse(f.Config.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	wire := e2etest.StartWiretap(t, u.Host)
	u.Host = wire.Address
	f.Config.DatabaseURL = redact.Secret(u.String())
	cut := f.Start(t)
	health := grpc_health_v1.NewHealthClient(e2etest.Dial(t, cut.GRPCAddr()))
	awaitHealth := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		e2etest.Eventually(t, "the health of the replica to be "+want.String(), func() bool {
			resp, err := health.Check(cut.Anonymous(t), &grpc_health_v1.HealthCheckRequest{})
			return err == nil && resp.GetStatus() == want
		})
	}
	awaitHealth(grpc_health_v1.HealthCheckResponse_SERVING)

	id := well.Submit(t, "").GetId()
	cut.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	stream, err := cut.Tasks.WatchTask(cut.Ctx(t), &refractv1.WatchTaskRequest{TaskId: id})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil { // The current task.
		t.Fatal(err)
	}
	wire.SetCut(true)
	if _, err := well.Tasks.CancelTask(well.Ctx(t), &refractv1.CancelTaskRequest{TaskId: id}); err != nil {
		t.Fatal(err)
	}
	well.Stop() // It has nothing more to do, and the outage takes half a minute.
	bookmarks := 0
	for err == nil {
		if _, err = stream.Recv(); err == nil {
			bookmarks++
		}
	}
	if got := e2etest.RefusalOf(err); got.Code != codes.Unavailable || got.Reason != "DATABASE_UNAVAILABLE" || e2etest.RetryOf(err) == 0 {
		t.Errorf("the stream ended with %+v, want UNAVAILABLE, DATABASE_UNAVAILABLE and a time to retry", got)
	}
	if bookmarks > 1 { // The log may have been read again before the cut.
		t.Errorf("the stream carried %d bookmarks without the database, want one at most", bookmarks)
	}
	awaitHealth(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	_, err = cut.Tasks.SubmitTask(cut.Ctx(t), e2etest.GoodRequest())
	if got := e2etest.RefusalOf(err); got.Code != codes.Unavailable || got.Reason != "DATABASE_UNAVAILABLE" || e2etest.RetryOf(err) == 0 {
		t.Errorf("a call ended with %+v, want UNAVAILABLE, DATABASE_UNAVAILABLE and a time to retry", got)
	}
	if status, _ := cut.Rest(t, http.MethodGet, "/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz answered %d, want 503", status)
	}
	if n := cut.Metric(t, "refract_database_failures_total", `cause="connection"`); n == 0 {
		t.Error("no failure of the database was counted")
	}

	wire.SetCut(false)
	awaitHealth(grpc_health_v1.HealthCheckResponse_SERVING)
	cut.LogsFaultOnce(t, server.LogConnectionsRefused, server.LogConnectionsMade, "failed to connect")
	if got := cut.End(t, id).GetState(); got != refractv1.TaskState_TASK_STATE_CANCELED {
		t.Errorf("after the outage the task ended as %v, want CANCELED", got)
	}
}

// watcher follows a task, and resumes like a client.
type watcher struct {
	id     string
	roster *roster
	at     int           // The index of its replica.
	after  int64         // The newest revision seen.
	pause  chan struct{} // It reads nothing until this is closed; nil means that it reads at once.
	events []seen
}

// follow returns all events until the task has ended finally, which is after written was closed.
func (w *watcher) follow(t *testing.T, written chan struct{}) []seen {
	t.Helper()
	for {
		before, final := w.after, false
		select { // Before the stream begins: one that ends earlier does not show the last change.
		case <-written:
			final = true
		default:
		}
		ended, err := w.once(t)
		switch {
		case err != nil && status.Code(err) != codes.Unavailable:
			t.Errorf("watch after revision %d: %v", w.after, err)
			return w.events
		case ended && final && w.after == before:
			return w.events // Nothing was left.
		}
		w.at++ // At another replica.
	}
}

// once watches until the stream ends, and reports whether the task has ended.
func (w *watcher) once(t *testing.T) (ended bool, err error) {
	t.Helper()
	ts := w.roster.nth(w.at)
	ctx, cancel := context.WithCancel(ts.Ctx(t))
	defer cancel()
	began := w.after
	stream, err := ts.Tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: w.id, AfterRevision: &began}, grpc.WaitForReady(false))
	if err != nil {
		return false, err
	}
	if w.pause != nil {
		<-w.pause
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		e := m.GetEvent()
		if e == nil {
			if m.GetBookmark() == nil {
				t.Errorf("replica %d sent %v on a stream that began after revision %d, want an event or a bookmark", w.at, m, began)
			}
			continue
		}
		if e.GetRevision() != w.after+1 {
			t.Errorf("replica %d sent revision %d after %d on a stream that began after revision %d", w.at, e.GetRevision(), w.after, began)
		}
		w.after = e.GetRevision()
		w.events = append(w.events, seen{e.GetRevision(), e.GetState().String(), e.GetMessage()})
	}
}

// storedEvents returns the events of a task in the database.
func storedEvents(t *testing.T, f *e2etest.Fleet, id string) []seen {
	t.Helper()
	rows, err := f.Pool.Query(t.Context(), `SELECT revision, 'TASK_STATE_' || state, message FROM task_event WHERE task_id = $1 ORDER BY revision`, id)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[seen])
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range all {
		if e.Revision != int64(i+1) {
			t.Fatalf("the database has revision %d in place %d", e.Revision, i+1)
		}
	}
	return all
}
