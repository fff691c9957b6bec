package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

func TestMigrations_WebhooksComeAndGoWithTasksInPlace(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	id := postgrestest.InsertTask(t, pool, "films", task.Queued, 0)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files())
	if err != nil {
		t.Fatal(err)
	}
	const before = 101
	tables := func() int {
		return postgrestest.Value[int](t, pool, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'webhook%'`)
	}
	for range 2 {
		if _, err := p.DownTo(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		if n := tables(); n != 0 {
			t.Errorf("%d tables of webhooks after the way down", n)
		}
		if err := migrations.Apply(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		if n := tables(); n != 3 {
			t.Errorf("%d tables of webhooks after the way up, want 3", n)
		}
	}
	// A migration that was interrupted before it was noted runs again.
	postgrestest.Exec(t, pool, `DELETE FROM goose_db_version WHERE version_id > $1`, before)
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if uri := postgrestest.Value[string](t, pool, `SELECT webhook_uri FROM task WHERE id = $1`, id); uri != "" {
		t.Errorf("the task has webhook_uri %q", uri)
	}
}

// A transaction that has locked a task changes it while the migration waits for it.
func TestMigrations_WebhooksWaitForATransactionThatHasLockedATask(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	id := postgrestest.InsertTask(t, pool, "films", task.Queued, 0)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), 101); err != nil {
		t.Fatal(err)
	}
	tx := postgrestest.Begin(t, pool)
	if _, err := tx.Exec(t.Context(), `SELECT FROM task WHERE id = $1 FOR UPDATE`, id); err != nil {
		t.Fatal(err)
	}
	applied := make(chan error, 1)
	go func() { applied <- migrations.Apply(t.Context(), pool) }()
	postgrestest.Until(t, func() bool {
		return postgrestest.Value[bool](t, pool, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'task'::regclass)`)
	})
	if _, err := tx.Exec(t.Context(), `UPDATE task SET revision = revision + 1 WHERE id = $1`, id); err != nil {
		t.Errorf("the transaction that was there first: %v", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-applied; err != nil {
		t.Error(err)
	}
}
