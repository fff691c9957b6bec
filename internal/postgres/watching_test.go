package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// never is how often the log is read where only a notification shall bring what is new.
const never = time.Hour

// watching is a replica that does nothing but watch.
type watching struct {
	hub *watch.Hub
	got chan task.Entry
}

// dialGate holds back new connections while it is closed. A reader holds it open while it connects.
type dialGate struct{ sync.RWMutex }

func (g *dialGate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.RLock()
	defer g.RUnlock()
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// watchFrom starts a replica that follows a task and the whole tenant, and waits until both streams are open. It listens for
// notifications over connections that pass the gate; without a gate it does not listen.
func watchFrom(t *testing.T, url string, sweep time.Duration, listens *dialGate, id task.ID) watching {
	t.Helper()
	pool := postgrestest.Connect(t, url)
	stores, err := postgres.NewStores(postgres.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	r := watching{hub: watch.NewHub(stores.Log, watch.Config{Sweep: sweep, Logger: slog.New(slog.DiscardHandler)}), got: make(chan task.Entry, 1000)}
	postgrestest.Background(t, r.hub.Run)
	if listens != nil {
		connected := make(chan struct{}, 10)
		l := replica.Listener{
			Pool: connectThrough(t, url, listens), Log: slog.New(slog.DiscardHandler), Replica: "watching", Wake: r.hub.Wake,
			WakeAll: func() { r.hub.WakeAll(); connected <- struct{}{} },
		}
		postgrestest.Background(t, l.Run)
		<-connected
	}
	open := make(chan struct{}, 2)
	watched, followed := sync.OnceFunc(func() { open <- struct{}{} }), sync.OnceFunc(func() { open <- struct{}{} })
	postgrestest.Background(t, func(ctx context.Context) error {
		err := r.hub.Watch(ctx, id, 0, func(u watch.Update) error {
			if u.Event == nil {
				return nil // A bookmark.
			}
			watched()
			r.got <- task.Entry{Task: id, Event: *u.Event}
			return nil
		})
		return unlessCanceled(err)
	})
	postgrestest.Background(t, func(ctx context.Context) error {
		err := r.hub.Follow(ctx, watch.Following{Tenant: "films", Send: func(e *task.Entry, _ task.Position) error {
			followed()
			if e == nil {
				return nil // A bookmark, which the stream begins with.
			}
			r.got <- *e
			return nil
		}})
		return unlessCanceled(err)
	})
	<-open
	<-open
	return r
}

// connectThrough returns a pool whose connections pass the gate.
func connectThrough(t *testing.T, url string, gate *dialGate) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.DialFunc = gate.dial
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func unlessCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// expect waits until a revision of a task came on both streams.
func (r watching) expect(t *testing.T, revision int64) {
	t.Helper()
	timeout := time.After(postgrestest.Hung)
	for seen := 0; seen < 2; {
		select {
		case e := <-r.got:
			if e.Event.Revision == revision {
				seen++
			}
		case <-timeout:
			t.Fatalf("revision %d came on %d of 2 streams", revision, seen)
		}
	}
}

func TestWatching_NotificationAloneBringsWhatAnotherReplicaChanged(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	pool := postgrestest.Connect(t, url)
	stores, err := postgres.NewStores(postgres.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	notifier := replica.NewNotifier(replica.NotifierConfig{Pool: pool, Replica: "changing", Log: slog.New(slog.DiscardHandler)})
	postgrestest.Background(t, notifier.Run)
	created := create(t, stores, "films", plain())
	var gate dialGate
	r := watchFrom(t, url, never, &gate, created.ID)
	attempt := admit(t, stores, created.ID)
	notifier.Add(created.ID)
	r.expect(t, 2)

	// While it cannot listen it misses this change. It finds the change when it listens again.
	gate.Lock()
	exec(t, pool, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND (query = 'LISTEN refract_task' OR query LIKE 'SELECT pg_advisory_lock_shared%')`)
	apply(t, stores, created.ID, task.Sending{Attempt: attempt})
	apply(t, stores, created.ID, task.Accepted{Attempt: attempt, ProviderTaskID: "p"})
	gate.Unlock()
	r.expect(t, 3)
}

func TestWatching_LogIsReadThoughNobodyNotifies(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	stores, err := postgres.NewStores(postgres.Config{Pool: postgrestest.Connect(t, url)})
	if err != nil {
		t.Fatal(err)
	}
	created := create(t, stores, "films", plain())
	r := watchFrom(t, url, 10*time.Millisecond, nil, created.ID)
	admit(t, stores, created.ID)
	r.expect(t, 2)
}
