package postgres_test

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

// heard is what a listener told.
type heard struct {
	ids chan task.ID
	all chan struct{}
}

// listen runs a listener until the test ends, and waits until it hears.
func listen(t *testing.T, pool *pgxpool.Pool) heard {
	t.Helper()
	h := heard{ids: make(chan task.ID, 10_000), all: make(chan struct{}, 10)}
	l := postgres.Listener{
		Pool: pool, Log: slog.New(slog.DiscardHandler),
		Wake: func(ids ...task.ID) {
			for _, id := range ids {
				h.ids <- id
			}
		},
		WakeAll: func() { h.all <- struct{}{} },
	}
	l.ReconnectAfter(10 * time.Millisecond)
	postgrestest.Background(t, l.Run)
	h.connected(t)
	return h
}

func (h heard) connected(t *testing.T) {
	t.Helper()
	select {
	case <-h.all:
	case <-time.After(postgrestest.Hung):
		t.Fatal("the listener did not connect")
	}
}

// expect waits until every id was heard.
func (h heard) expect(t *testing.T, ids []task.ID) {
	t.Helper()
	missing := make(map[task.ID]bool)
	for _, id := range ids {
		missing[id] = true
	}
	timeout := time.After(postgrestest.Hung)
	for len(missing) > 0 {
		select {
		case id := <-h.ids:
			delete(missing, id)
		case <-timeout:
			t.Fatalf("%d of %d ids were not heard", len(missing), len(ids))
		}
	}
}

func TestNotifier_ReachesListenersOfOtherPools(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	first, second := listen(t, postgrestest.Connect(t, url)), listen(t, postgrestest.Connect(t, url))
	notifier := postgres.NewNotifier(postgrestest.Connect(t, url), slog.New(slog.DiscardHandler))
	ids := make([]task.ID, 450) // More than two notifications hold.
	for i := range ids {
		ids[i] = task.ID(newID())
		notifier.Add(ids[i])
	}
	postgrestest.Background(t, notifier.Run)
	first.expect(t, ids)
	second.expect(t, ids)
	late := []task.ID{task.ID(newID())}
	notifier.Add(late[0])
	first.expect(t, late)
}

func TestListener_WakesAllAfterItsConnectionBroke(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	h := listen(t, pool)
	broken := count(t, pool, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query = 'LISTEN refract_task'`)
	if broken != 1 {
		t.Fatalf("%d connections were listening, want 1", broken)
	}
	h.connected(t)
	notifier := postgres.NewNotifier(pool, slog.New(slog.DiscardHandler))
	postgrestest.Background(t, notifier.Run)
	ids := []task.ID{task.ID(newID())}
	notifier.Add(ids[0])
	h.expect(t, ids)
}

// Jobs that are enqueued one right after the other each wake the workers, in the form that the job queue listens for.
func TestNotifier_WakesTheWorkersOfEachJob(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	postgrestest.Background(t, store.Notifier().Run)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `LISTEN "public.river_insert"`); err != nil {
		t.Fatal(err)
	}
	expect := func(queue string) {
		t.Helper()
		n, err := conn.Conn().WaitForNotification(t.Context())
		if err != nil {
			t.Fatalf("waiting for a word about %s: %v", queue, err)
		}
		var payload struct{ Queue string }
		if err := json.Unmarshal([]byte(n.Payload), &payload); err != nil || payload.Queue != queue {
			t.Errorf("heard %q, %v, want queue %s", n.Payload, err, queue)
		}
	}
	for range 3 {
		created := create(t, store, "films", plain())
		id := admit(t, store, created.ID)
		expect("submit_attempt")
		apply(t, store, created.ID, task.Sending{Attempt: id})
		apply(t, store, created.ID, task.ResultReady{Attempt: id, ProviderTaskID: providerTask(id)})
		expect("save_outputs")
	}
}

func TestListener_PassesOverWhatItsOwnReplicaSent(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	heardByOwn := heard{ids: make(chan task.ID, 10), all: make(chan struct{}, 10)}
	own := postgres.Listener{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Replica: "one",
		Wake:    func(ids ...task.ID) { heardByOwn.ids <- ids[0] },
		WakeAll: func() { heardByOwn.all <- struct{}{} },
	}
	postgrestest.Background(t, own.Run)
	heardByOwn.connected(t)
	other := listen(t, pool)
	first, second := task.ID(newID()), task.ID(newID())
	for _, sent := range []struct {
		replica string
		id      task.ID
	}{{"one", first}, {"two", second}} {
		notifier := postgres.NewNotifier(pool, slog.New(slog.DiscardHandler))
		notifier.Replica = sent.replica
		postgrestest.Background(t, notifier.Run)
		notifier.Add(sent.id)
		other.expect(t, []task.ID{sent.id})
	}
	if got := <-heardByOwn.ids; got != second {
		t.Errorf("the listener of replica one heard %s first, want %s, which replica two sent", got, second)
	}
}
