package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// setReadOnly lets new sessions of the database of a connection be read-only or not. Those that exist stay as they are, as do
// the connections to a server that became a standby.
func setReadOnly(t *testing.T, admin *pgx.Conn, readOnly bool) {
	t.Helper()
	value := "off"
	if readOnly {
		value = "on"
	}
	name := pgx.Identifier{admin.Config().Database}.Sanitize()
	if _, err := admin.Exec(t.Context(), "ALTER DATABASE "+name+" SET default_transaction_read_only = "+value); err != nil {
		t.Fatal(err)
	}
}

// changes collects what a state reports.
type changes struct {
	mu  sync.Mutex
	all []postgres.WriteChange
}

func (c *changes) add(change postgres.WriteChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, change)
}

func TestWriteState_ReadOnlyConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	ctx, databaseURL := t.Context(), postgrestest.URL(t)
	admin, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.WithoutCancel(ctx)) }()
	setReadOnly(t, admin, true)
	pool, err := postgres.Open(ctx, databaseURL+"&pool_max_conns=3")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, conn := range pool.AcquireAllIdle(ctx) {
		conn.Release()
	}
	var seen changes
	postgres.WriteStateOf(pool).Notify(seen.add)
	write := func() error {
		_, err := pool.Exec(ctx, "INSERT INTO secret (name, value) VALUES (gen_random_uuid()::text, 'x')")
		return err
	}
	var batch pgx.Batch
	batch.Queue("SELECT 1")
	batch.Queue("DELETE FROM secret WHERE name = 'no such'")
	const refused = 3
	for range refused - 1 { // New connections are read-only, too.
		if err := write(); !postgres.Unavailable(err) {
			t.Errorf("a read-only session gave %v, want an error that says the database can't be used now", err)
		}
	}
	if err := pool.SendBatch(ctx, &batch).Close(); !postgres.Unavailable(err) {
		t.Errorf("a batch on a read-only session gave %v, want an error that says the database can't be used now", err)
	}
	var one int
	if err := pool.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil {
		t.Errorf("a read failed: %v", err)
	}
	idle, err := pool.Acquire(ctx) // A session that was read-only when it began, and meets no refusal before the change.
	if err != nil {
		t.Fatal(err)
	}
	setReadOnly(t, admin, false)
	idle.Release()

	tries := 0
	for err := write(); err != nil; err = write() { // Each try takes one such session out of the pool.
		if tries++; tries > 3 {
			t.Fatalf("writes still fail: %v", err)
		}
	}
	failures := 0
	var got []bool
	for _, c := range seen.all {
		got, failures = append(got, c.Writable), failures+c.Failures
	}
	if diff := cmp.Diff([]bool{false, true}, got); diff != "" || failures < refused {
		t.Errorf("the changes (-want +got):\n%s with %d failures, want %d at least", diff, failures, refused)
	}
	if pe, ok := errors.AsType[*pgconn.PgError](seen.all[0].Cause); !ok || pe.Code != "25006" {
		t.Errorf("the cause is %v, want SQLSTATE 25006", seen.all[0].Cause)
	}
}

// TestUnavailable_ServersThatCantWrite has the classes of a server that answers and can't write now.
func TestUnavailable_ServersThatCantWrite(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"25006": true, "53100": true, "53200": true, "53300": true, "57P01": true, "57P03": true, "58030": true, "58000": true, "08006": true,
		"57P02": true, "57014": true, "25P03": true, "25P04": true, "40001": true, "40P01": true, "55P03": true, "25P02": false, "XX000": false,
		"25001": false, "23505": false, "42P01": false, "XX001": false,
	} {
		if got := postgres.Unavailable(&pgconn.PgError{Code: code}); got != want {
			t.Errorf("SQLSTATE %s is unavailable: %v, want %v", code, got, want)
		}
	}
}
