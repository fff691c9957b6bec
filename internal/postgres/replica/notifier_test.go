package replica_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
)

// heard is what a listener received.
type heard struct {
	ids chan task.ID
	all chan struct{}
}

// listen runs a listener until the test ends, and waits until it hears.
func listen(t *testing.T, pool *pgxpool.Pool) heard {
	t.Helper()
	h := heard{ids: make(chan task.ID, 10_000), all: make(chan struct{}, 10)}
	l := replica.Listener{
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
	notifier := replica.NewNotifier(replica.NotifierConfig{Pool: postgrestest.Connect(t, url), Log: slog.New(slog.DiscardHandler)})
	ids := make([]task.ID, 450) // More than two notifications hold.
	for i := range ids {
		ids[i] = task.ID(uuid.NewString())
		notifier.Add(ids[i])
	}
	postgrestest.Background(t, notifier.Run)
	first.expect(t, ids)
	second.expect(t, ids)
	late := []task.ID{task.ID(uuid.NewString())}
	notifier.Add(late[0])
	first.expect(t, late)
}

func TestListener_WakesAllAfterItsConnectionBroke(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	h := listen(t, pool)
	broken := postgrestest.Value[int](t, pool, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query = 'LISTEN refract_task'`)
	if broken != 1 {
		t.Fatalf("%d connections were listening, want 1", broken)
	}
	h.connected(t)
	notifier := replica.NewNotifier(replica.NotifierConfig{Pool: pool, Log: slog.New(slog.DiscardHandler)})
	postgrestest.Background(t, notifier.Run)
	ids := []task.ID{task.ID(uuid.NewString())}
	notifier.Add(ids[0])
	h.expect(t, ids)
}

func TestListener_PassesOverWhatItsOwnReplicaSent(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	heardByOwn := heard{ids: make(chan task.ID, 10), all: make(chan struct{}, 10)}
	own := replica.Listener{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Replica: "one",
		Wake:    func(ids ...task.ID) { heardByOwn.ids <- ids[0] },
		WakeAll: func() { heardByOwn.all <- struct{}{} },
	}
	postgrestest.Background(t, own.Run)
	heardByOwn.connected(t)
	other := listen(t, pool)
	first, second := task.ID(uuid.NewString()), task.ID(uuid.NewString())
	for _, sent := range []struct {
		replica string
		id      task.ID
	}{{"one", first}, {"two", second}} {
		notifier := replica.NewNotifier(replica.NotifierConfig{Pool: pool, Replica: sent.replica, Log: slog.New(slog.DiscardHandler)})
		postgrestest.Background(t, notifier.Run)
		notifier.Add(sent.id)
		other.expect(t, []task.ID{sent.id})
	}
	if got := <-heardByOwn.ids; got != second {
		t.Errorf("the listener of replica one heard %s first, want %s, which replica two sent", got, second)
	}
}

// A replica that is no worker leaves loops to others. They hear of it, and look by themselves when they begin to listen.
func TestNotifier_AnnouncesTopicsToWorkers(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	heard := make(chan replica.Topic, 10)
	topics := map[replica.Topic]func(){}
	for _, topic := range []replica.Topic{replica.Admission, replica.Intake} {
		topics[topic] = func() { heard <- topic }
	}
	l := replica.Listener{Pool: pool, Log: slog.New(slog.DiscardHandler), Wake: func(...task.ID) {}, WakeAll: func() {}, Topics: topics}
	postgrestest.Background(t, l.Run)
	await := func(want ...replica.Topic) {
		t.Helper()
		for range want {
			select {
			case got := <-heard:
				if !slices.Contains(want, got) {
					t.Fatalf("heard %q, want %q", got, want)
				}
			case <-time.After(postgrestest.Hung):
				t.Fatalf("%q was not heard", want)
			}
		}
	}
	await(replica.Admission, replica.Intake) // It listens now.
	notifier := replica.NewNotifier(replica.NotifierConfig{Pool: pool, Log: slog.New(slog.DiscardHandler)})
	postgrestest.Background(t, notifier.Run)
	notifier.Announce(replica.Checks) // No loop here waits for it.
	notifier.Announce(replica.Intake)
	await(replica.Intake)
}
