package dbpool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/refract-video/refract/internal/postgres/dbpool"
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
	mu     sync.Mutex
	all    []dbpool.Change
	causes map[string]int
}

func (c *changes) add(change dbpool.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, change)
}

// get returns the changes so far.
func (c *changes) get() []dbpool.Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

func (c *changes) count(cause string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.causes == nil {
		c.causes = map[string]int{}
	}
	c.causes[cause]++
}

func TestState_ReadOnlyConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	ctx, databaseURL := t.Context(), postgrestest.URL(t)
	admin, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.WithoutCancel(ctx)) }()
	setReadOnly(t, admin, true)
	pool, err := dbpool.Open(ctx, postgrestest.WithPool(databaseURL, "3"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, conn := range pool.AcquireAllIdle(ctx) {
		conn.Release()
	}
	var seen changes
	dbpool.StateOf(pool).Notify(seen.add, seen.count)
	write := func() error {
		_, err := pool.Exec(ctx, "INSERT INTO secret (name, value) VALUES (gen_random_uuid()::text, 'x')")
		return err
	}
	var batch pgx.Batch
	batch.Queue("SELECT 1")
	batch.Queue("DELETE FROM secret WHERE name = 'no such'")
	const refused = 3
	for range refused - 1 { // New connections are read-only, too.
		if err := write(); !dbpool.Unavailable(err) {
			t.Errorf("a read-only session gave %v, want an error that says the database can't be used now", err)
		}
	}
	if err := pool.SendBatch(ctx, &batch).Close(); !dbpool.Unavailable(err) {
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
		got, failures = append(got, c.Over), failures+c.Failures
	}
	if diff := cmp.Diff([]bool{false, true}, got); diff != "" || failures < refused {
		t.Errorf("the changes (-want +got):\n%s with %d failures, want %d at least", diff, failures, refused)
	}
	if pe, ok := errors.AsType[*pgconn.PgError](seen.all[0].Cause); !ok || pe.Code != "25006" {
		t.Errorf("the cause is %v, want SQLSTATE 25006", seen.all[0].Cause)
	}
	if seen.causes["25006"] < refused {
		t.Errorf("the failures by cause are %v, want %d at least of 25006", seen.causes, refused)
	}
}

// TestState_AFullDiskIsNoticedByRows has the server refuse new rows for want of room, but neither reads nor statements without rows.
func TestState_AFullDiskIsNoticedByRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, postgrestest.WithPool(postgrestest.URL(t), "2"))
	postgrestest.Exec(t, pool, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`)
	postgrestest.Exec(t, pool, "CREATE TRIGGER full_disk BEFORE INSERT ON secret FOR EACH ROW EXECUTE FUNCTION full_disk()")
	var seen changes
	dbpool.StateOf(pool).Notify(seen.add, seen.count)
	dbpool.SetCalm(pool, time.Hour)
	const insert, remove = "INSERT INTO secret (name, value) VALUES ('x', 'x')", "DELETE FROM secret WHERE name = 'no such'"
	for i := range 2 {
		if _, err := pool.Exec(ctx, insert); !dbpool.Unavailable(err) {
			t.Errorf("a full disk gave %v, want an error that says the database can't be used now", err)
		}
		postgrestest.Exec(t, pool, remove)                                                   // It needs no room, and says nothing.
		postgrestest.Exec(t, pool, "INSERT INTO tenant (tenant) VALUES ($1)", fmt.Sprint(i)) // Its file has room left.
	}
	dbpool.SetCalm(pool, 0)
	postgrestest.Exec(t, pool, "DROP TRIGGER full_disk ON secret")
	postgrestest.Exec(t, pool, insert)
	got := seen.get()
	if len(got) != 2 || got[0].Over || got[0].Fault != dbpool.NoWrites || !got[1].Over || got[1].Failures != 2 {
		t.Errorf("the changes are %+v, want one fault with two failures, and its end", got)
	}
	if seen.causes["53100"] != 2 {
		t.Errorf("the failures by cause are %v, want 2 of 53100", seen.causes)
	}
}

// TestState_EachCauseOfLostConnectionsIsReportedOnce has connects refused in two ways, and then succeed again.
func TestState_EachCauseOfLostConnectionsIsReportedOnce(t *testing.T) {
	t.Parallel()
	ctx, h := t.Context(), dig(t)
	pool := openPool(t, postgrestest.WithPool(h.url, "3"))
	var seen changes
	dbpool.StateOf(pool).Notify(seen.add, seen.count)
	kept, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Release()
	limit := func(connections int) {
		t.Helper()
		name := pgx.Identifier{kept.Conn().Config().Database}.Sanitize()
		if _, err := kept.Exec(ctx, fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d", name, connections)); err != nil {
			t.Fatal(err)
		}
	}
	const refused = 3
	ping := func(want bool) {
		t.Helper()
		for range refused {
			if _, err := pool.Exec(ctx, "SELECT 1"); err == nil != want || err != nil && !dbpool.Unavailable(err) {
				t.Errorf("a statement ended with %v, want success: %v", err, want)
			}
		}
	}
	pool.Reset() // So that each statement needs a new connection.
	limit(0)
	ping(false)
	limit(-1) // The connection that exists is in use all the while.
	ping(true)
	if err := kept.Ping(ctx); err != nil {
		t.Errorf("a connection from before the fault: %v", err)
	}
	kept.Release()
	h.proxy.Stop()
	postgrestest.Until(t, func() bool { _, err := pool.Exec(ctx, "SELECT 1"); return err != nil && len(seen.get()) == 3 })
	ping(false)
	if err := h.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	ping(true)

	var got []string
	for _, c := range seen.get() {
		pe, _ := errors.AsType[*pgconn.PgError](c.Cause)
		switch {
		case c.Fault != dbpool.NoConnections:
			got = append(got, "another fault")
		case c.Over && c.Failures < refused:
			got = append(got, fmt.Sprintf("over after %d failures", c.Failures))
		case c.Over:
			got = append(got, "over")
		case pe != nil:
			got = append(got, pe.Code)
		default:
			got = append(got, "connection")
		}
	}
	if diff := cmp.Diff([]string{"53300", "over", "connection", "over"}, got); diff != "" {
		t.Errorf("the changes (-want +got):\n%s", diff)
	}
	if seen.causes["53300"] < refused || seen.causes["connection"] < refused {
		t.Errorf("the failures by cause are %v, want %d at least of each", seen.causes, refused)
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
		if got := dbpool.Unavailable(&pgconn.PgError{Code: code}); got != want {
			t.Errorf("SQLSTATE %s is unavailable: %v, want %v", code, got, want)
		}
	}
}
