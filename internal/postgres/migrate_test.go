package postgres_test

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

func TestCheckSchema_TellsOldAndNewFromThisRelease(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Connect(t, postgrestest.EmptyURL(t))
	if err := postgres.CheckSchema(t.Context(), pool); !errors.Is(err, postgres.ErrSchemaOld) {
		t.Errorf("CheckSchema of an empty database = %v, want ErrSchemaOld", err)
	}
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if err := postgres.CheckSchema(t.Context(), pool); err != nil {
		t.Errorf("CheckSchema of a migrated database = %v, want nil", err)
	}
	exec(t, pool, "DELETE FROM river_migration WHERE version = (SELECT max(version) FROM river_migration)")
	if err := postgres.CheckSchema(t.Context(), pool); !errors.Is(err, postgres.ErrSchemaOld) {
		t.Errorf("CheckSchema with an old job queue = %v, want ErrSchemaOld", err)
	}
	exec(t, pool, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	if err := postgres.CheckSchema(t.Context(), pool); !errors.Is(err, postgres.ErrSchemaNew) {
		t.Errorf("CheckSchema of a newer release's database = %v, want ErrSchemaNew", err)
	}
	if err := postgres.Migrate(t.Context(), pool); !errors.Is(err, postgres.ErrSchemaNew) {
		t.Errorf("Migrate of a newer release's database = %v, want ErrSchemaNew", err)
	}
}

func TestMigrate_TwiceChangesNothing(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	kept := create(t, store, "films", plain())
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Task(t.Context(), "films", kept.ID); err != nil {
		t.Errorf("a task after a second Migrate: %v", err)
	}
}

func TestMigrate_ReplicasMayStartAtOnce(t *testing.T) {
	t.Parallel()
	url := postgrestest.EmptyURL(t)
	replicas := []*pgxpool.Pool{postgrestest.Connect(t, url), postgrestest.Connect(t, url), postgrestest.Connect(t, url)}
	errs := postgrestest.AtOnce(t.Context(), len(replicas), func(ctx context.Context, i int) error {
		return postgres.Migrate(ctx, replicas[i])
	})
	if len(errs) > 0 {
		t.Fatalf("%d of %d replicas failed: %v", len(errs), len(replicas), errors.Join(errs...))
	}
	if err := postgres.CheckSchema(t.Context(), postgrestest.Connect(t, url)); err != nil {
		t.Error(err)
	}
}

// TestMigrations_DoNotWaitForLocks looks at the migrations since the release before. Whoever waits for the lock of a table makes
// all that come later wait, so that one long transaction, such as a backup, would stop the release that still serves.
func TestMigrations_DoNotWaitForLocks(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(postgres.MigrationFiles(), "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)DO \$\$.*?\$\$;`)
	for _, name := range files {
		if path.Base(name) < "00093" {
			continue
		}
		text, err := fs.ReadFile(postgres.MigrationFiles(), name)
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

func TestMigrate_EventPositionsComeToATableWithData(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{
		"of the release before":     `ALTER TABLE task_event DROP COLUMN position, DROP COLUMN tenant CASCADE; DROP TABLE event_removal`,
		"where it stopped half way": `DROP INDEX task_event_tenant_position; UPDATE task_event SET position = NULL`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, pool := setup(t)
			kept := create(t, store, "films", plain())
			exec(t, pool, before)
			exec(t, pool, "DROP TABLE preparation_task, preparation, save_trouble, storage_probe") // What came afterwards.
			exec(t, pool, "DELETE FROM goose_db_version WHERE version_id >= 80")
			if err := postgres.Migrate(t.Context(), pool); err != nil {
				t.Fatal(err)
			}
			if err := postgres.CheckSchema(t.Context(), pool); err != nil {
				t.Error(err)
			}
			apply(t, store, kept.ID, task.CancelRequested{})
			entries, _, err := store.TenantEntries(t.Context(), "films", 0, 1<<40, 10)
			if err != nil || len(entries) != 1 || entries[0].Event.Revision != 2 {
				t.Errorf("entries %+v, %v; want the one written since", entries, err)
			}
		})
	}
}
