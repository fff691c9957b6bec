package migrations_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func TestCheck_DistinguishesOldAndNewFromThisRelease(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Connect(t, postgrestest.EmptyURL(t))
	if err := migrations.Check(t.Context(), pool); !errors.Is(err, migrations.ErrOld) {
		t.Errorf("Check of an empty database = %v, want ErrOld", err)
	}
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Check(t.Context(), pool); err != nil {
		t.Errorf("Check of a migrated database = %v, want nil", err)
	}
	postgrestest.Exec(t, pool, "DELETE FROM river_migration WHERE version = (SELECT max(version) FROM river_migration)")
	if err := migrations.Check(t.Context(), pool); !errors.Is(err, migrations.ErrOld) {
		t.Errorf("Check with an old job queue = %v, want ErrOld", err)
	}
	postgrestest.Exec(t, pool, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	if err := migrations.Check(t.Context(), pool); !errors.Is(err, migrations.ErrNew) {
		t.Errorf("Check of a newer release's database = %v, want ErrNew", err)
	}
	if err := migrations.Apply(t.Context(), pool); !errors.Is(err, migrations.ErrNew) {
		t.Errorf("Apply of a newer release's database = %v, want ErrNew", err)
	}
}

func TestApply_ReplicasMayStartAtOnce(t *testing.T) {
	t.Parallel()
	url := postgrestest.EmptyURL(t)
	replicas := []*pgxpool.Pool{postgrestest.Connect(t, url), postgrestest.Connect(t, url), postgrestest.Connect(t, url)}
	errs := postgrestest.AtOnce(t.Context(), len(replicas), func(ctx context.Context, i int) error {
		return migrations.Apply(ctx, replicas[i])
	})
	if len(errs) > 0 {
		t.Fatalf("%d of %d replicas failed: %v", len(errs), len(replicas), errors.Join(errs...))
	}
	if err := migrations.Check(t.Context(), postgrestest.Connect(t, url)); err != nil {
		t.Error(err)
	}
}

// eachTransaction calls a function with each transaction of all migrations, in order.
func eachTransaction(t *testing.T, do func(name, transaction string)) {
	t.Helper()
	names, err := fs.Glob(migrations.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		if up, _, _ := strings.Cut(string(text), "-- +goose Down"); !strings.Contains(up, "NO TRANSACTION") {
			do(name, up)
			continue
		}
		for _, s := range migrations.Statements(string(text)) {
			do(name, s.SQL)
		}
	}
}

// TestMigrations_LockOneTableAtATimeForAMoment applies all migrations, and looks at the locks of those since the release before, which
// still serves. A migration that waits for the lock of a table makes all later statements wait, so that one long transaction, such as a
// backup, would stop that release. One that holds the lock of a table and waits for that of another could deadlock with a transaction
// of that release.
func TestMigrations_LockOneTableAtATimeForAMoment(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Connect(t, postgrestest.EmptyURL(t))
	eachTransaction(t, func(name, transaction string) {
		if strings.Contains(transaction, "CONCURRENTLY") { // It waits for other transactions, and blocks none meanwhile.
			postgrestest.Exec(t, pool, transaction)
			return
		}
		tables, waits := lockedBy(t, pool, transaction)
		if name >= "00093" && len(tables) > 0 && waits == "0" {
			t.Errorf("%s waits for the lock of %v for as long as it takes:\n%s", name, tables, transaction)
		}
		if name >= "00099" && len(tables) > 1 {
			t.Errorf("%s locks %v in one transaction:\n%s", name, tables, transaction)
		}
	})
}

// lockedBy runs a transaction. It returns the tables that existed before and on which it holds a lock that blocks writes, and its
// lock_timeout.
func lockedBy(t *testing.T, pool *pgxpool.Pool, transaction string) (tables []string, waits string) {
	t.Helper()
	const selectRelations = `
SELECT coalesce(array_agg(pg_class.oid), '{}'), coalesce(array_agg(coalesce(indrelid, pg_class.oid)::regclass::text), '{}')
FROM pg_class
LEFT JOIN pg_index ON indexrelid = pg_class.oid
WHERE relnamespace = current_schema()::regnamespace`
	const selectLocks = `
SELECT coalesce(array_agg(DISTINCT relation_table), '{}'), current_setting('lock_timeout')
FROM pg_locks
JOIN unnest($1::oid[], $2::text[]) AS before (oid, relation_table) ON before.oid = relation
WHERE pid = pg_backend_pid() AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		var relations []uint32
		var tablesOf []string
		if err := tx.QueryRow(t.Context(), selectRelations).Scan(&relations, &tablesOf); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), transaction); err != nil {
			return err
		}
		return tx.QueryRow(t.Context(), selectLocks, relations, tablesOf).Scan(&tables, &waits)
	})
	if err != nil {
		t.Fatalf("%v in:\n%s", err, transaction)
	}
	return tables, waits
}
