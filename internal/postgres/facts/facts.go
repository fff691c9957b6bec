// Package facts reads what a PostgreSQL server says of itself, of its replication and of the role that asks, for those who check
// an installation. It changes nothing.
package facts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/refract-video/refract/internal/postgres/dbpool"
)

// OldestVersion is the oldest major version that our statements are written for.
const OldestVersion = 14

// Server is which server it is.
type Server struct {
	Major    int
	Version  string // As the server spells it, such as 17.5 (Debian 17.5-1).
	Role     string
	Database string
	Standby  bool // Whether it only replays what another server writes.
	ReadOnly bool // Whether our transactions may not write.
}

const selectServer = `
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'), current_user, current_database(),
       pg_is_in_recovery(), current_setting('transaction_read_only')::bool`

// ReadServer returns which server it is.
func ReadServer(ctx context.Context, pool *dbpool.Pool) (s Server, err error) {
	err = pool.QueryRow(ctx, selectServer).Scan(&s.Major, &s.Version, &s.Role, &s.Database, &s.Standby, &s.ReadOnly)
	if err != nil {
		return s, fmt.Errorf("read the version of the server: %w", err)
	}
	return s, nil
}

// Replication is how the server copies what is committed to others.
type Replication struct {
	Required    string // Which standbys a commit waits for, as synchronous_standby_names says; empty for none.
	Visible     bool   // Whether the role may see the standbys.
	Standbys    int
	Synchronous int // Those that a commit can wait for.
}

const selectReplication = `
SELECT current_setting('synchronous_standby_names'), pg_has_role('pg_read_all_stats', 'usage'),
       count(pid), count(pid) FILTER (WHERE sync_state IN ('sync', 'quorum'))
FROM pg_stat_replication
WHERE pid IS NOT NULL`

// ReadReplication returns how the server copies what is committed.
func ReadReplication(ctx context.Context, pool *dbpool.Pool) (r Replication, err error) {
	if err = pool.QueryRow(ctx, selectReplication).Scan(&r.Required, &r.Visible, &r.Standbys, &r.Synchronous); err != nil {
		return r, fmt.Errorf("read the state of the replication: %w", err)
	}
	return r, nil
}

// Connections is how many connections the server has for a role and a database.
type Connections struct {
	Allowed int // The least of the limits that apply.
	Used    int // By all.
	Others  int // By programs other than Refract.
}

const selectConnections = `
SELECT least(
         current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0),
         (SELECT CASE WHEN rolconnlimit < 0 THEN 1000000 ELSE rolconnlimit END FROM pg_roles WHERE rolname = current_user),
         (SELECT CASE WHEN datconnlimit < 0 THEN 1000000 ELSE datconnlimit END FROM pg_database WHERE datname = current_database())),
       count(*), count(*) FILTER (WHERE application_name <> current_setting('application_name'))
FROM pg_stat_activity
WHERE datid IS NOT NULL`

// ReadConnections returns how many connections the server has. Connections of Refract are those with the name of this one.
func ReadConnections(ctx context.Context, pool *dbpool.Pool) (c Connections, err error) {
	if err = pool.QueryRow(ctx, selectConnections).Scan(&c.Allowed, &c.Used, &c.Others); err != nil {
		return c, fmt.Errorf("read the limits of connections: %w", err)
	}
	return c, nil
}

// Clock is how far the server's clock is from that of this machine.
type Clock struct {
	Ahead time.Duration // Positive where the server's clock is ahead.
	Error time.Duration // Half of the round trip, by which Ahead may be wrong.
}

// clockTries is how often the clocks are compared. The fastest round trip says most.
const clockTries = 3

// ReadClock compares the server's clock with that of this machine.
func ReadClock(ctx context.Context, pool *dbpool.Pool) (best Clock, err error) {
	for i := range clockTries {
		var there time.Time
		began := time.Now()
		if err := pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
			return best, fmt.Errorf("read the clock of the server: %w", err)
		}
		half := time.Since(began) / 2
		if c := (Clock{Ahead: there.Sub(began.Add(half)), Error: half}); i == 0 || c.Error < best.Error {
			best = c
		}
	}
	return best, nil
}

// Rights is what a role may do with our tables.
type Rights struct {
	Tables  int
	Missing []string // What it may not do, as "UPDATE on task".
}

// selectMissingRights covers the tables and sequences of our schema. The history of migrations is for the role that migrates. The events
// of the audit log are never changed.
//
// NOTE: the CASE keeps PostgreSQL from asking about a table as if it were a sequence, which is an error.
const selectMissingRights = `
WITH ours AS (
  SELECT oid, relname, relkind FROM pg_class
  WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('task'))
    AND relkind IN ('r', 'p', 'S') AND relname NOT IN ('goose_db_version', 'goose_db_version_id_seq', 'river_migration')
)
SELECT (SELECT count(*) FROM ours WHERE relkind <> 'S'), coalesce(array_agg(missing ORDER BY missing), '{}')
FROM (
  SELECT verb || ' on ' || relname AS missing
  FROM ours, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS verb
  WHERE relkind <> 'S' AND NOT has_table_privilege(oid, verb) AND NOT (relname = 'audit_event' AND verb = 'UPDATE')
  UNION ALL
  SELECT 'USAGE on ' || relname FROM ours WHERE CASE WHEN relkind = 'S' THEN NOT has_sequence_privilege(oid, 'USAGE') ELSE false END
) AS gaps`

// ReadRights returns what the role may do with our tables.
func ReadRights(ctx context.Context, pool *dbpool.Pool) (r Rights, err error) {
	if err = pool.QueryRow(ctx, selectMissingRights).Scan(&r.Tables, &r.Missing); err != nil {
		return r, fmt.Errorf("read the rights of the role: %w", err)
	}
	return r, nil
}

// Refusal returns the words in which the server refused something, and reports whether the error is a refusal.
func Refusal(err error) (words string, refused bool) {
	refusal, refused := errors.AsType[*pgconn.PgError](err)
	if !refused {
		return "", false
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", refusal.Message, refusal.Code), true
}

// errUndone rolls a transaction back.
var errUndone = errors.New("undone")

// TryWrite writes a row and takes it back.
func TryWrite(ctx context.Context, pool *dbpool.Pool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO secret (name, value) VALUES ($1, '')", "doctor "+rand.Text()); err != nil {
			return err
		}
		return errUndone
	})
	if errors.Is(err, errUndone) {
		return nil
	}
	return fmt.Errorf("write a row: %w", err)
}

// TryNotify listens on a connection, and notifies it from another one.
func TryNotify(ctx context.Context, pool *dbpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	channel := pgx.Identifier{"refract_doctor_" + rand.Text()}.Sanitize()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := pool.Exec(ctx, "NOTIFY "+channel); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	_, err = conn.Conn().WaitForNotification(ctx)
	_, unlistenErr := conn.Exec(context.WithoutCancel(ctx), "UNLISTEN "+channel)
	if err = errors.Join(err, unlistenErr); err != nil {
		return fmt.Errorf("wait for a notification: %w", err)
	}
	return nil
}

// HasSchema reports whether the database has our tables, of whatever release.
func HasSchema(ctx context.Context, pool *dbpool.Pool) (there bool, err error) {
	if err = pool.QueryRow(ctx, "SELECT to_regclass('goose_db_version') IS NOT NULL").Scan(&there); err != nil {
		return false, fmt.Errorf("look for the tables: %w", err)
	}
	return there, nil
}

// Admission is whether tasks are sent to providers.
type Admission struct {
	Reason  string // Why it is closed; empty while it is open.
	Message string
}

// ReadAdmission returns whether tasks are sent to providers. It is open in a database with which the service has never run.
func ReadAdmission(ctx context.Context, pool *dbpool.Pool) (a Admission, err error) {
	err = pool.QueryRow(ctx, "SELECT coalesce(close_reason, ''), close_message FROM installation").Scan(&a.Reason, &a.Message)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return a, fmt.Errorf("read whether admission is open: %w", err)
	}
	return a, nil
}
