package migrations_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"regexp"
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

// TestMigrations_DoNotWaitForLocks looks at the migrations since the release before. A migration that waits for the lock of a table
// makes all later statements wait, so that one long transaction, such as a backup, would stop the release that still serves.
func TestMigrations_DoNotWaitForLocks(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)DO \$\$.*?\$\$;`)
	for _, name := range files {
		if path.Base(name) < "00093" {
			continue
		}
		text, err := fs.ReadFile(migrations.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		parts := block.FindAllString(up, -1)
		parts = append(parts, block.ReplaceAllString(up, ""))
		for _, part := range parts {
			if (strings.Contains(part, "ALTER TABLE") || strings.Contains(part, "REFERENCES")) && !strings.Contains(part, "SET LOCAL lock_timeout") {
				t.Errorf("%s waits for the lock of a table for as long as it takes:\n%s", name, part)
			}
		}
	}
}
