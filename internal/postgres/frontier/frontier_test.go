package frontier_test

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/frontier"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// entry is an event in the log.
type entry struct {
	Position task.Position
	Task     task.ID
	Revision int64
}

// entries returns the entries of the log after a position up to another.
func entries(t *testing.T, pool *pgxpool.Pool, after, upTo task.Position, limit int) []entry {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		SELECT position, task_id, revision FROM task_event WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3`, after, upTo, limit)
	if err != nil {
		t.Fatal(err)
	}
	read, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// create inserts a task with its first event.
func create(t *testing.T, pool *pgxpool.Pool) task.ID {
	t.Helper()
	return postgrestest.InsertTask(t, pool, "films", task.Queued, 0)
}

// reader reads the log as a replica does: up to the frontier, from where it was.
type reader struct {
	pool    *pgxpool.Pool
	tracker *frontier.Tracker
	cursor  task.Position
	got     []task.ID
}

// setup returns a reader of a fresh database, and the pool under it.
func setup(t *testing.T) (*reader, *pgxpool.Pool) {
	t.Helper()
	pool := postgrestest.Pool(t)
	return &reader{pool: pool, tracker: frontier.New(pool)}, pool
}

func (r *reader) read(t *testing.T) {
	t.Helper()
	settled, _, err := r.tracker.Advance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for {
		read := entries(t, r.pool, r.cursor, settled, 3)
		if len(read) == 0 {
			return
		}
		for _, e := range read {
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
	r, pool := setup(t)
	early, late := create(t, pool), create(t, pool)
	r.readUntil(t, 2)

	open := postgrestest.Begin(t, pool)
	addEvent(t.Context(), t, open, early)
	later := postgrestest.Begin(t, pool)
	addEvent(t.Context(), t, later, late)
	commit(t, later)
	third := create(t, pool)
	// The open one holds the reader up for as long as it lasts, also past the limit after which others do not count.
	for _, limit := range []time.Duration{postgrestest.Hung, 0} {
		r.tracker.SetMarkLimit(limit)
		for range 10 {
			r.read(t)
		}
	}
	if len(r.got) != 2 {
		t.Fatalf("read %v while an earlier position was in flight, want nothing", r.got[2:])
	}
	commit(t, open)
	r.readUntil(t, 5)
	want := []task.ID{early, late, third}
	if diff := cmp.Diff(want, r.got[2:]); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestFrontier_WaitsForNoTransactionThatWritesNoEvents(t *testing.T) {
	t.Parallel()
	r, pool := setup(t)
	other := postgrestest.Begin(t, postgrestest.Pool(t)) // Another database of the same server.
	for _, tx := range []pgx.Tx{other, postgrestest.Begin(t, pool)} {
		if _, err := tx.Exec(t.Context(), `CREATE TABLE unrelated (n int)`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Exec(t.Context(), `SELECT pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		create(t, pool)
		r.readUntil(t, n+1)
	}
}

func TestFrontier_PassesOverWhatWasRolledBack(t *testing.T) {
	t.Parallel()
	r, pool := setup(t)
	first := create(t, pool)
	gone := postgrestest.Begin(t, pool)
	addEvent(t.Context(), t, gone, first)
	second := create(t, pool)
	r.read(t)
	if err := gone.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.readUntil(t, 2)
	if diff := cmp.Diff([]task.ID{first, second}, r.got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// TestFrontier_TaskKeepsItsOrderWhateverTheOrderOfTransactionIDs has a transaction with an old id wait for a task that a younger
// one holds: by transaction ids, the task's events would be read in the wrong order.
func TestFrontier_TaskKeepsItsOrderWhateverTheOrderOfTransactionIDs(t *testing.T) {
	t.Parallel()
	r, pool := setup(t)
	a, b := create(t, pool), create(t, pool)
	older, younger := postgrestest.Begin(t, pool), postgrestest.Begin(t, pool)
	addEvent(t.Context(), t, older, a) // Has its id now.
	addEvent(t.Context(), t, younger, b)
	done := make(chan struct{})
	go func() { defer close(done); addEvent(t.Context(), t, older, b) }()
	commit(t, younger)
	<-done
	commit(t, older)

	r.readUntil(t, 5)
	var revisions []int64
	for _, e := range entries(t, pool, 0, r.cursor, 100) {
		if e.Task == b {
			revisions = append(revisions, e.Revision)
		}
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, revisions); diff != "" {
		t.Errorf("revisions of the task (-want +got):\n%s", diff)
	}
}

func TestFrontier_ReadersUnderLoadGetEveryEventOnceInOrder(t *testing.T) {
	t.Parallel()
	r, pool := setup(t)
	const tasks, writers, rounds = 16, 4, 30
	ids := make([]task.ID, tasks)
	for i := range ids {
		ids[i] = create(t, pool)
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
	for len(finished) == 0 {
		r.read(t)
	}
	if errs := <-finished; len(errs) > 0 {
		t.Fatal(errs)
	}
	total := postgrestest.Value[int](t, pool, `SELECT count(*) FROM task_event`)
	r.readUntil(t, total)
	all := entries(t, pool, 0, r.cursor, total+1)
	if len(all) != total {
		t.Fatalf("%d entries, want %d", len(all), total)
	}
	newest := map[task.ID]int64{}
	for i, e := range all {
		if e.Task != r.got[i] {
			t.Fatalf("entry %d was read as one of task %s, and is of %s: something was stepped over", i, r.got[i], e.Task)
		}
		if newest[e.Task]++; e.Revision != newest[e.Task] {
			t.Fatalf("revision %d of task %s came where %d belongs", e.Revision, e.Task, newest[e.Task])
		}
	}
}
