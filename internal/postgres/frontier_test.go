package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

// reader reads the log as a replica does: up to the frontier, from where it was.
type reader struct {
	stores *postgres.Stores
	cursor task.Position
	got    []task.ID
}

func (r *reader) read(t *testing.T) {
	t.Helper()
	settled, _, err := r.stores.Log.Frontier(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for {
		entries, err := r.stores.Log.Entries(t.Context(), r.cursor, settled, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return
		}
		for _, e := range entries {
			r.cursor = e.Position
			r.got = append(r.got, e.Task)
		}
	}
}

// readUntil reads until so many entries were read.
func (r *reader) readUntil(t *testing.T, n int) {
	t.Helper()
	for until := time.Now().Add(postgrestest.Hung); len(r.got) < n; r.read(t) {
		if time.Now().After(until) {
			t.Fatalf("%d entries were read, want %d", len(r.got), n)
		}
	}
}

// beginTx opens a transaction that is rolled back when the test ends, unless it was committed.
func beginTx(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

// addEvent writes the next event of a task in a transaction, as a writer of the release before does.
func addEvent(ctx context.Context, t *testing.T, tx pgx.Tx, id task.ID) {
	t.Helper()
	for _, sql := range []string{
		`UPDATE task SET revision = revision + 1 WHERE id = $1`,
		`INSERT INTO task_event (task_id, revision, state, attempt, message) SELECT id, revision, state, 0, '' FROM task WHERE id = $1`,
	} {
		if _, err := tx.Exec(ctx, sql, id); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestFrontier_StepsOverNothingThatIsStillInFlight(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	r := &reader{stores: stores}
	early, late := create(t, stores, "films", plain()), create(t, stores, "films", plain())
	r.readUntil(t, 2)

	open := beginTx(t, pool)
	addEvent(t.Context(), t, open, early.ID)
	later := beginTx(t, pool)
	addEvent(t.Context(), t, later, late.ID)
	commit(t, later)
	third := create(t, stores, "films", plain())
	// The open one holds the reader up for as long as it lasts, also past the patience with those that do not count.
	for _, patience := range []time.Duration{postgrestest.Hung, 0} {
		stores.Log.SetMarkLimit(patience)
		for range 10 {
			r.read(t)
		}
	}
	if len(r.got) != 2 {
		t.Fatalf("read %v while an earlier position was in flight, want nothing", r.got[2:])
	}
	commit(t, open)
	r.readUntil(t, 5)
	want := []task.ID{early.ID, late.ID, third.ID}
	if diff := cmp.Diff(want, r.got[2:]); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestFrontier_WaitsForNobodyWhoWritesNoEvents(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	other := beginTx(t, postgrestest.Pool(t)) // Another database of the same server.
	for _, tx := range []pgx.Tx{other, beginTx(t, pool)} {
		if _, err := tx.Exec(t.Context(), `CREATE TABLE unrelated (n int)`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Exec(t.Context(), `SELECT pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
	r := &reader{stores: stores}
	for n := range 5 {
		create(t, stores, "films", plain())
		r.readUntil(t, n+1)
	}
}

func TestFrontier_PassesOverWhatWasRolledBack(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	first := create(t, stores, "films", plain())
	gone := beginTx(t, pool)
	addEvent(t.Context(), t, gone, first.ID)
	second := create(t, stores, "films", plain())
	r := &reader{stores: stores}
	r.read(t)
	if err := gone.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.readUntil(t, 2)
	if diff := cmp.Diff([]task.ID{first.ID, second.ID}, r.got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// TestFrontier_TaskKeepsItsOrderWhoeverGotItsIdFirst has a transaction with an old id wait for a task that a younger
// one holds: by transaction ids, the task's events would be read in the wrong order.
func TestFrontier_TaskKeepsItsOrderWhoeverGotItsIdFirst(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	a, b := create(t, stores, "films", plain()), create(t, stores, "films", plain())
	older, younger := beginTx(t, pool), beginTx(t, pool)
	addEvent(t.Context(), t, older, a.ID) // Has its id now.
	addEvent(t.Context(), t, younger, b.ID)
	done := make(chan struct{})
	go func() { defer close(done); addEvent(t.Context(), t, older, b.ID) }()
	commit(t, younger)
	<-done
	commit(t, older)

	r := &reader{stores: stores}
	r.readUntil(t, 5)
	entries, err := stores.Log.Entries(t.Context(), 0, r.cursor, 100)
	if err != nil {
		t.Fatal(err)
	}
	var revisions []int64
	for _, e := range entries {
		if e.Task == b.ID {
			revisions = append(revisions, e.Event.Revision)
		}
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, revisions); diff != "" {
		t.Errorf("revisions of the task (-want +got):\n%s", diff)
	}
}

func TestFrontier_ReadersUnderLoadGetEveryEventOnceInOrder(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	const tasks, writers, rounds = 16, 4, 30
	ids := make([]task.ID, tasks)
	for i := range ids {
		ids[i] = create(t, stores, "films", plain()).ID
	}
	writing := postgrestest.Connect(t, pool.Config().ConnString())
	finished := make(chan []error, 1)
	go func() {
		finished <- postgrestest.AtOnce(t.Context(), writers, func(ctx context.Context, w int) error {
			for n := range rounds {
				err := pgx.BeginFunc(ctx, writing, func(tx pgx.Tx) error {
					picked := []task.ID{ids[(w*4+n)%tasks], ids[(w*3+n*5+1)%tasks]}
					slices.Sort(picked) // As grouped writes lock.
					for _, id := range slices.Compact(picked) {
						addEvent(ctx, t, tx, id)
					}
					_, err := tx.Exec(ctx, `SELECT pg_sleep(0.005) WHERE $1`, (w+n)%3 == 0) // Some are in flight for long.
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}()
	r := &reader{stores: stores}
	for len(finished) == 0 {
		r.read(t)
	}
	if errs := <-finished; len(errs) > 0 {
		t.Fatal(errs)
	}
	total := count(t, pool, `SELECT count(*) FROM task_event`)
	r.readUntil(t, total)
	entries, err := stores.Log.Entries(t.Context(), 0, r.cursor, total+1)
	if err != nil || len(entries) != total {
		t.Fatalf("%d entries, %v; want %d", len(entries), err, total)
	}
	newest := map[task.ID]int64{}
	for i, e := range entries {
		if e.Task != r.got[i] {
			t.Fatalf("entry %d was read as one of task %s, and is of %s: something was stepped over", i, r.got[i], e.Task)
		}
		if newest[e.Task]++; e.Event.Revision != newest[e.Task] {
			t.Fatalf("revision %d of task %s came where %d belongs", e.Event.Revision, e.Task, newest[e.Task])
		}
	}
}
