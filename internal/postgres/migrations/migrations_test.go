package migrations_test

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

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

// block is a statement that is a transaction of its own in a file without one.
var block = regexp.MustCompile(`(?s)DO \$\$.*?\$\$;`)

// eachTransaction calls a function with each transaction of the migrations from a version on.
func eachTransaction(t *testing.T, from string, do func(name, transaction string)) {
	t.Helper()
	names, err := fs.Glob(migrations.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if path.Base(name) < from {
			continue
		}
		text, err := fs.ReadFile(migrations.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		if !strings.Contains(up, "NO TRANSACTION") {
			do(name, up)
			continue
		}
		for _, transaction := range append(block.FindAllString(up, -1), strings.Split(block.ReplaceAllString(up, ""), ";")...) {
			do(name, transaction)
		}
	}
}

// TestMigrations_DoNotWaitForLocks looks at the migrations since the release before. A migration that waits for the lock of a table
// makes all later statements wait, so that one long transaction, such as a backup, would stop the release that still serves.
func TestMigrations_DoNotWaitForLocks(t *testing.T) {
	t.Parallel()
	eachTransaction(t, "00093", func(name, transaction string) {
		if (strings.Contains(transaction, "ALTER TABLE") || strings.Contains(transaction, "REFERENCES")) && !strings.Contains(transaction, "SET LOCAL lock_timeout") {
			t.Errorf("%s waits for the lock of a table for as long as it takes:\n%s", name, transaction)
		}
	})
}

// TestMigrations_LockOneTableInATransaction looks at the migrations since the release before. A transaction that holds the lock of one
// table and waits for that of another one could deadlock with a transaction of the release that still serves.
func TestMigrations_LockOneTableInATransaction(t *testing.T) {
	t.Parallel()
	var (
		created = regexp.MustCompile(`CREATE TABLE (?:IF NOT EXISTS )?(\w+)`)
		locked  = regexp.MustCompile(`(?:ALTER TABLE|REFERENCES|DROP TABLE|TRUNCATE|LOCK TABLE)(?: IF EXISTS| ONLY)* (\w+)` +
			`|CREATE (?:UNIQUE )?INDEX(?: IF NOT EXISTS)? \w+ ON (\w+)|TRIGGER \w+ (?:BEFORE|AFTER)[A-Z ]* ON (\w+)`)
	)
	eachTransaction(t, "00099", func(name, transaction string) {
		tables := map[string]bool{}
		for _, m := range locked.FindAllStringSubmatch(transaction, -1) {
			tables[cmp.Or(m[1:]...)] = true
		}
		for _, m := range created.FindAllStringSubmatch(transaction, -1) {
			delete(tables, m[1]) // No other transaction sees it yet.
		}
		if len(tables) > 1 {
			t.Errorf("%s locks %v:\n%s", name, slices.Sorted(maps.Keys(tables)), transaction)
		}
	})
}
