package faults_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// trap stops a transaction in the database just before its commit, or reports it just after. It uses triggers on the
// row that a step changes, and needs no support of the service.
type trap struct {
	t    *testing.T
	conn *pgx.Conn
}

// lockID is the advisory lock for which a trapped transaction waits.
const lockID = 7301

// trapSchema has the functions of the triggers. Both find the task of the row, and ignore all tasks but one.
const trapSchema = `
CREATE FUNCTION trap_request(row_data jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(row_data ->> 'request_id', (
        SELECT request_id FROM task WHERE id = coalesce(
            (row_data ->> 'task_id')::uuid,
            (SELECT task_id FROM attempt WHERE id = (row_data ->> 'attempt_id')::uuid))))
$$;
CREATE FUNCTION trap_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF trap_request(to_jsonb(NEW)) = TG_ARGV[0] THEN
        PERFORM pg_advisory_xact_lock_shared(7301);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION trap_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF trap_request(to_jsonb(NEW)) = TG_ARGV[0] THEN
        PERFORM pg_notify('trap', current_setting('application_name'));
    END IF;
    RETURN NULL;
END $$;`

// newTrap prepares a database for traps.
func newTrap(t *testing.T, databaseURL string) *trap {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal("connect to the database")
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	tr := &trap{t, conn}
	tr.exec(t.Context(), trapSchema)
	tr.exec(t.Context(), "LISTEN trap")
	return tr
}

func (tr *trap) exec(ctx context.Context, sql string) {
	tr.t.Helper()
	if _, err := tr.conn.Exec(ctx, sql); err != nil {
		tr.t.Fatalf("%s: %v", sql, err)
	}
}

// moment is a point in the execution of a step.
type moment string

// The moments of kills.
const (
	before moment = "before" // Everything is written, and the commit has not started.
	after  moment = "after"  // It is committed, and the process does not know yet.
)

// lay sets a trap for a step of a request.
func (tr *trap) lay(ctx context.Context, s step, m moment, requestID string) {
	tr.t.Helper()
	if m == before {
		tr.exec(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", lockID))
	}
	tr.exec(ctx, fmt.Sprintf("CREATE TRIGGER trap AFTER %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION trap_%s('%s')",
		s.event, s.table, s.when, m, requestID))
}

// wait returns the name of the trapped replica.
func (tr *trap) wait(ctx context.Context, m moment) string {
	tr.t.Helper()
	if m == after {
		n, err := tr.conn.WaitForNotification(ctx)
		if err != nil {
			tr.t.Fatalf("no replica reached the trap: %v", err)
		}
		return n.Payload
	}
	const find = `SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE locktype = 'advisory' AND objid = $1 AND NOT granted AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	for {
		var name string
		err := tr.conn.QueryRow(ctx, find, lockID).Scan(&name)
		if err == nil {
			return name
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			tr.t.Fatalf("no replica reached the trap: %v", err)
		}
	}
}

// clear ends the sessions of a dead replica, whose transactions never commit, and removes the trap.
func (tr *trap) clear(ctx context.Context, s step, m moment, name string) {
	tr.t.Helper()
	const left = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()`
	for n := 1; n > 0; {
		if err := tr.conn.QueryRow(ctx, left, name).Scan(&n); err != nil {
			tr.t.Fatal(err)
		}
	}
	tr.exec(ctx, "DROP TRIGGER trap ON "+s.table)
	if m == before {
		tr.exec(ctx, fmt.Sprintf("SELECT pg_advisory_unlock(%d)", lockID))
	}
}
