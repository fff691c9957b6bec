package postgres_test

import (
	"testing"

	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/task"
)

func TestMigrate_TwiceChangesNothing(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	kept := create(t, stores, "films", plain())
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if _, err := stores.Tasks.Task(t.Context(), "films", kept.ID); err != nil {
		t.Errorf("a task after a second Migrate: %v", err)
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
			stores, pool := setup(t)
			kept := create(t, stores, "films", plain())
			exec(t, pool, before)
			exec(t, pool, "DROP TABLE preparation_task, preparation, save_trouble, storage_probe") // What came afterwards.
			exec(t, pool, "DELETE FROM goose_db_version WHERE version_id >= 80")
			if err := migrations.Apply(t.Context(), pool); err != nil {
				t.Fatal(err)
			}
			if err := migrations.Check(t.Context(), pool); err != nil {
				t.Error(err)
			}
			apply(t, stores, kept.ID, task.CancelRequested{})
			entries, _, err := stores.Log.TenantEntries(t.Context(), "films", 0, 1<<40, 10)
			if err != nil || len(entries) != 1 || entries[0].Event.Revision != 2 {
				t.Errorf("entries %+v, %v; want the one written since", entries, err)
			}
		})
	}
}
