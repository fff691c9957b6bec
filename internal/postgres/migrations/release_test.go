package migrations_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// nextRelease returns the migrations of a release after this one: ours, and one more with some statements.
func nextRelease(t *testing.T, version int64, statements string) fs.FS {
	t.Helper()
	next := fstest.MapFS{fmt.Sprintf("%05d_next.sql", version): {Data: []byte("-- +goose Up\n" + statements)}}
	names, err := fs.Glob(migrations.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		next[name] = &fstest.MapFile{Data: text}
	}
	return next
}

const addColumn = "ALTER TABLE task ADD COLUMN IF NOT EXISTS next text NOT NULL DEFAULT '';"

// target returns the schema version of this release.
func target(t *testing.T, pool *pgxpool.Pool) int64 {
	t.Helper()
	return postgrestest.Value[int64](t, pool, "SELECT max(version_id) FROM goose_db_version")
}

// TestCheck_ANewerSchemaServesTheReleasesThatItsReleaseNamed has a later release migrate the database, and this one start again, as
// after a rollback or when a replica restarts during the upgrade.
func TestCheck_ANewerSchemaServesTheReleasesThatItsReleaseNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		oldest func(ours int64) int64
		works  bool
	}{
		"the release that follows ours":           {func(ours int64) int64 { return ours }, true},
		"one that also serves the one before":     {func(ours int64) int64 { return ours - 1 }, true},
		"one that needs a release that we aren't": {func(ours int64) int64 { return ours + 1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.Pool(t)
			ours := target(t, pool)
			postgrestest.Exec(t, pool, "INSERT INTO river_migration (line, version) VALUES ('main', 999)") // Of a later job queue.
			if err := migrations.ApplyRelease(t.Context(), pool, nextRelease(t, ours+100, addColumn), tc.oldest(ours), 0); err != nil {
				t.Fatal(err)
			}
			for call, err := range map[string]error{
				"Check": migrations.Check(t.Context(), pool), "Apply": migrations.Apply(t.Context(), pool),
				"Plan": func() error { _, err := migrations.Plan(t.Context(), pool); return err }(),
			} {
				if works := err == nil; works != tc.works || !works && !errors.Is(err, migrations.ErrNew) {
					t.Errorf("%s = %v, want it to work: %t", call, err, tc.works)
				}
			}
			if got := target(t, pool); got != ours+100 {
				t.Errorf("the schema version is %d, want %d as the later release left it", got, ours+100)
			}
		})
	}
}

// TestCheck_AReleaseMayStartWhileTheNextOneMigrates has the migration of a later release stop after its first half.
func TestCheck_AReleaseMayStartWhileTheNextOneMigrates(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	ours := target(t, pool)
	next := nextRelease(t, ours+100, addColumn).(fstest.MapFS)
	next[fmt.Sprintf("%05d_fails.sql", ours+101)] = &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1/0;")}
	if err := migrations.ApplyRelease(t.Context(), pool, next, ours, 0); err == nil {
		t.Fatal("the migration of the later release succeeded")
	}
	if got := target(t, pool); got != ours+100 {
		t.Fatalf("the schema version is %d, want the half way", got)
	}
	if err := migrations.Check(t.Context(), pool); err != nil {
		t.Errorf("Check = %v, want nil", err)
	}
}

// TestCheck_AReleaseTwoAfterOursCounts has two releases migrate in turn, of which only the first works with ours.
func TestCheck_AReleaseTwoAfterOursCounts(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	ours := target(t, pool)
	if err := migrations.ApplyRelease(t.Context(), pool, nextRelease(t, ours+100, addColumn), ours, 0); err != nil {
		t.Fatal(err)
	}
	later := nextRelease(t, ours+100, addColumn).(fstest.MapFS)
	later[fmt.Sprintf("%05d_drop.sql", ours+200)] = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE task DROP COLUMN next;")}
	if err := migrations.ApplyRelease(t.Context(), pool, later, ours+100, 0); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Check(t.Context(), pool); !errors.Is(err, migrations.ErrNew) {
		t.Errorf("Check = %v, want ErrNew", err)
	}
}

// hold begins a transaction that has read a table, as a backup does, and returns its end.
func hold(t *testing.T, pool *pgxpool.Pool) (end func()) {
	t.Helper()
	tx := postgrestest.Begin(t, pool)
	if _, err := tx.Exec(t.Context(), "SELECT count(*) FROM task"); err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback(t.Context()) }
}

// TestApply_GivesUpALockThatALongTransactionHolds must let the statements of the service pass between its tries, and say who is in
// the way.
func TestApply_GivesUpALockThatALongTransactionHolds(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	ours := target(t, pool)
	end := hold(t, pool)
	err := migrations.ApplyRelease(t.Context(), pool, nextRelease(t, ours+100, addColumn), ours, 0)
	if !errors.Is(err, migrations.ErrLocked) || !dbpool.Locked(err) || !strings.Contains(err.Error(), "pid ") || !strings.Contains(err.Error(), "idle in transaction") {
		t.Errorf("Apply = %v, want ErrLocked with the transaction that is in the way", err)
	}
	applied := make(chan error, 1)
	go func() {
		applied <- migrations.ApplyRelease(t.Context(), pool, nextRelease(t, ours+100, addColumn), ours, postgrestest.Hung)
	}()
	for range 3 { // A statement gets its turn each time that the migration waits.
		postgrestest.Until(t, func() bool {
			return postgrestest.Value[bool](t, pool, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'task'::regclass AND mode = 'AccessExclusiveLock')`)
		})
		postgrestest.Exec(t, pool, "UPDATE task SET revision = revision WHERE false")
	}
	select {
	case err := <-applied:
		t.Fatalf("the migration ended with %v while the transaction held the table", err)
	default:
	}
	end()
	if err := <-applied; err != nil {
		t.Error(err)
	}
	if got := target(t, pool); got != ours+100 {
		t.Errorf("the schema version is %d, want %d", got, ours+100)
	}
}

// TestApply_TriesAgainAfterADeadlock has a migration raise the error of a transaction that the server ends in favor of another one.
// Which of two transactions a real deadlock ends depends on timing.
func TestApply_TriesAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	ours := target(t, pool)
	postgrestest.Exec(t, pool, "CREATE SEQUENCE tries")
	const deadlocksOnce = `
-- +goose StatementBegin
DO $$
BEGIN
	IF nextval('tries') = 1 THEN
		RAISE EXCEPTION 'deadlock detected' USING ERRCODE = 'deadlock_detected';
	END IF;
END
$$;
-- +goose StatementEnd`
	if err := migrations.ApplyRelease(t.Context(), pool, nextRelease(t, ours+100, deadlocksOnce), ours, postgrestest.Hung); err != nil {
		t.Fatal(err)
	}
	if tries := postgrestest.Value[int](t, pool, "SELECT last_value FROM tries"); tries != 2 {
		t.Errorf("the migration needed %d tries, want one after the deadlock", tries)
	}
}

// TestApply_TriesAgainHoweverLongATryTakes has a migration build an index for an hour before it meets a lock, each time.
func TestApply_TriesAgainHoweverLongATryTakes(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	pool.Close() // Real connections do not follow the clock of the bubble.
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := migrations.Retry(t.Context(), pool, func() error {
			if tries++; tries <= 10 {
				<-time.After(time.Hour)
				return &pgconn.PgError{Code: "55P03"} // lock_not_available
			}
			return nil
		})
		if err != nil || tries != 11 {
			t.Errorf("the migration ended after %d tries with %v, want one more after each lock", tries, err)
		}
	})
}

// TestApply_BuildsAnIndexWhateverItWaitsFor has a transaction that is longer than the migration waits for locks of tables.
func TestApply_BuildsAnIndexWhateverItWaitsFor(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	ours := target(t, pool)
	end := hold(t, pool)
	index := nextRelease(t, ours+100, "").(fstest.MapFS)
	name := fmt.Sprintf("%05d_next.sql", ours+100)
	index[name] = &fstest.MapFile{Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nDROP INDEX CONCURRENTLY IF EXISTS next;\nCREATE INDEX CONCURRENTLY next ON task (prompt);")}
	postgrestest.Exec(t, pool, "CREATE INDEX next ON task (tenant)") // What an interrupted build left behind.
	applied := make(chan error, 1)
	go func() { applied <- migrations.ApplyRelease(t.Context(), pool, index, ours, 0) }()
	const waits = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%INDEX CONCURRENTLY%next%'
		AND wait_event_type = 'Lock' AND query_start < now() - interval '3.5 seconds')`
	postgrestest.Until(t, func() bool { return postgrestest.Value[bool](t, pool, waits) })
	postgrestest.Exec(t, pool, "UPDATE task SET revision = revision WHERE false")
	end()
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	if !postgrestest.Value[bool](t, pool, "SELECT indisvalid AND pg_get_indexdef(indexrelid) LIKE '%(prompt)' FROM pg_index WHERE indexrelid = 'next'::regclass") {
		t.Error("the index is not valid, or not the new one")
	}
}

// TestPlan_ShowsWhatApplyDoesAndChangesNothing plans for an empty database, a migrated one, and one between.
func TestPlan_ShowsWhatApplyDoesAndChangesNothing(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Connect(t, postgrestest.EmptyURL(t))
	objects := func() int { return postgrestest.Value[int](t, pool, "SELECT count(*) FROM pg_class") }
	before := objects()
	plan, err := migrations.Plan(t.Context(), pool)
	names, _ := fs.Glob(migrations.Files(), "*.sql")
	if err != nil || plan.Current != 0 || len(plan.Steps) <= len(names) {
		t.Errorf("the plan for an empty database has version %d and %d steps, %v; want our %d migrations and those of the job queue", plan.Current, len(plan.Steps), err, len(names))
	}
	for _, step := range plan.Steps {
		if len(step.Statements) == 0 && strings.HasPrefix(step.Name, "0") {
			t.Errorf("step %s has no statement", step.Name)
		}
	}
	if n := objects(); n != before {
		t.Errorf("the plan created %d objects", n-before)
	}
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	plan, err = migrations.Plan(t.Context(), pool)
	if err != nil || len(plan.Steps) != 0 || plan.Current != plan.Target {
		t.Errorf("the plan for a migrated database is %+v, %v; want nothing pending", plan, err)
	}
	postgrestest.Exec(t, pool, "DELETE FROM goose_db_version WHERE version_id >= 101")
	plan, err = migrations.Plan(t.Context(), pool)
	if err != nil || plan.Current != 100 || len(plan.Steps) == 0 || plan.Steps[0].Name != "00101_task_offering.sql" {
		t.Errorf("the plan for version 100 is %+v, %v; want 00101 first", plan, err)
	}
}

func TestPlan_SaysWhatAStatementBlocks(t *testing.T) {
	t.Parallel()
	const briefly = "blocks all use of task while it runs; gives up after seconds and tries again"
	for sql, want := range map[string]string{
		"ALTER TABLE task ADD COLUMN a text;":                      briefly,
		"ALTER TABLE task VALIDATE CONSTRAINT a;":                  "reads and writes of task go on",
		"CREATE INDEX CONCURRENTLY a ON task (b) WHERE c = 'x;y';": "reads and writes of task go on; waits for older transactions",
		"CREATE UNIQUE INDEX a ON task (b);":                       "blocks writes to task while the index is built",
		"CREATE INDEX ON task (b);":                                "blocks writes to task while the index is built",
		"DROP INDEX CONCURRENTLY IF EXISTS a;":                     "blocks nothing; waits for older transactions",
		"CREATE TABLE a (b int);":                                  "blocks nothing",
		"CREATE TABLE a (b uuid REFERENCES task (id));":            "blocks writes to task while it runs; gives up after seconds and tries again",
		"UPDATE task SET a = 1;":                                   "locks the rows of task that it changes",
		"TRUNCATE task;":                                           "not known: read the statement",
		"-- +goose StatementBegin\nDO $$\nBEGIN\n    SET LOCAL lock_timeout = '5s';\n    ALTER TABLE task ADD COLUMN a int;\nEND\n$$;\n-- +goose StatementEnd": briefly,
	} {
		got := migrations.Statements("-- +goose Up\n" + sql + "\nCOMMENT ON TABLE task IS 'a; b';\n-- +goose Down\nDROP TABLE task;")
		if len(got) != 1 || got[0].Lock != want {
			t.Errorf("%s\nblocks %+v, want %q", sql, got, want)
		}
	}
	got := migrations.Statements("-- +goose Up\nCREATE TABLE a (b int);\nCREATE INDEX c ON a (b);\nALTER TABLE a ADD d int;")
	if diff := cmp.Diff([]string{"blocks nothing", "blocks nothing: the table is new", "blocks nothing: the table is new"}, locksOf(got)); diff != "" {
		t.Errorf("the locks of a new table (-want +got):\n%s", diff)
	}
	const function = "-- +goose StatementBegin\nCREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;\n-- +goose StatementEnd\n"
	got = migrations.Statements("-- +goose Up\n" + function + "CREATE TRIGGER f BEFORE INSERT ON task FOR EACH ROW EXECUTE FUNCTION f();\n" + function)
	want := []string{"blocks nothing", "blocks writes to task while it runs; gives up after seconds and tries again", "blocks nothing"}
	if diff := cmp.Diff(want, locksOf(got)); diff != "" {
		t.Errorf("the locks of a trigger after its function (-want +got):\n%s", diff)
	}
}

func locksOf(statements []migrations.Statement) (locks []string) {
	for _, s := range statements {
		locks = append(locks, s.Lock)
	}
	return locks
}
