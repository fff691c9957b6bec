package dbpool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sessionSettings are what every session needs, whatever the defaults are that the server, the database and the role give it:
// statements that see what was committed before them, no time limits but ours, the tables of our schema, commits that are on
// disk, and values in the formats that the driver reads.
//
// The time limits and keepalives make the server give up on a replica that no longer answers. That replica may hold the row of a
// provider account, which stops admission there, and its listening connection shows that it lives. No statement here is long
// enough to be worth compiling, and PostgreSQL, which goes by estimates, would compile some at every call: 80 ms for what
// takes 5.
//
// default_transaction_read_only is not among them: clusters set it to fence a server that must take no writes.
//
// NOTE: the first statement also ends the time limit of the whole message, which the last one does not begin anew.
const sessionSettings = `
SET statement_timeout = 0;
SET default_transaction_isolation = 'read committed';
SET lock_timeout = 0;
SET idle_session_timeout = 0;
SELECT pg_catalog.set_config('transaction_timeout', '0', false) WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL;
SELECT pg_catalog.set_config('synchronous_commit', 'on', false) WHERE pg_catalog.current_setting('synchronous_commit') = 'off';
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET bytea_output = 'hex';
SET "TimeZone" = 'UTC';
SET "DateStyle" = 'ISO, MDY';
SET "IntervalStyle" = 'postgres';
SET extra_float_digits = 1;
SET array_nulls = on;
SET tcp_keepalives_idle = '10s';
SET tcp_keepalives_interval = '5s';
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '30s';
SET jit = off;
`

// servingTimeouts are the limits of sessions that serve.
//
// NOTE: after these times the server drops what a dead client left behind. They are longer than a live client waits.
const servingTimeouts = `
SET idle_in_transaction_session_timeout = '15s';
SET statement_timeout = '15s'`

// migratingTimeouts replace them where the schema is migrated, since the building of an index takes as long as it takes.
const migratingTimeouts = `
SET idle_in_transaction_session_timeout = 0;
SET lock_timeout = %d;
SET statement_timeout = 0`

// defaultSearchPath is PostgreSQL's own.
const defaultSearchPath = `"$user", public`

// takeSearchPath takes the search path out of the parameters of connections, and reports whether the URL names one. It returns
// an empty path where the server's options in the URL set it.
func takeSearchPath(params map[string]string) (path string, named bool) {
	path = params["search_path"]
	delete(params, "search_path")
	if path != "" {
		return path, true
	}
	options := strings.ReplaceAll(strings.ToLower(params["options"]), "-", "_")
	if strings.Contains(options, "search_path") {
		return "", true
	}
	return defaultSearchPath, false
}

// beginSession returns a function that gives a new connection our settings. They are set by one message for each connection and
// not as its parameters, which a pooler between us and the database may refuse or ignore.
func beginSession(searchPath string) pgconn.AfterConnectFunc {
	settings := sessionSettings + servingTimeouts
	if searchPath != "" {
		settings = "SELECT pg_catalog.set_config('search_path', " + literal(searchPath) + ", false);" + settings
	}
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[madeKey] = time.Now()
		return conn.Exec(ctx, settings).Close()
	}
}

// literal returns a text as a literal that means the same whatever the settings of the session are.
func literal(text string) string {
	return `E'` + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + `'`
}

// ErrPooled means that the connections of a database URL have no sessions of their own. Locks that show which replica lives,
// notifications, prepared statements and our settings all belong to a session.
var ErrPooled = errors.New("the database URL leads to a pooler that lends PostgreSQL sessions for single transactions or statements, " +
	"but Refract needs some whole sessions: name PostgreSQL itself as --database-direct-url besides, or as --database-url alone, " +
	"or use a pool that lends sessions (PgBouncer: pool_mode = session)")

// How a pooler is recognized: by so many connections that take turns so many times.
const (
	poolerConns = 3
	poolerTurns = 4
)

// checkPooler returns ErrPooled where connections do not keep their sessions: two of them get the same one, or one gets another
// than before. Connections take turns in an order that no policy of a pooler fits. It sets nothing, since what it set would
// stay in a session that others use. A direct connection costs one statement: the server itself says which session it is.
func checkPooler(ctx context.Context, config *pgxpool.Config) error {
	config = config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = poolerConns, 0, 0
	config.ConnConfig.AfterConnect, config.AfterRelease = nil, nil
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // It prepares nothing.
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	sessions := map[*pgxpool.Conn]uint32{}
	defer func() {
		for conn := range sessions {
			conn.Release()
		}
	}()
	for len(sessions) < poolerConns {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		sessions[conn] = 0
		if sessions[conn], err = sessionOf(ctx, conn); err != nil {
			return err
		}
		if sessions[conn] == conn.Conn().PgConn().PID() {
			return nil
		}
	}
	conns := slices.Collect(maps.Keys(sessions))
	for range poolerTurns {
		rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] }) //nolint:gosec // The order is no secret.
		seen := map[uint32]bool{}
		for _, conn := range conns {
			id, err := sessionOf(ctx, conn)
			if err != nil {
				return err
			}
			if seen[id] || id != sessions[conn] {
				return ErrPooled
			}
			seen[id] = true
		}
	}
	return nil
}

// sessionOf returns the id of the session that runs a statement of a connection.
func sessionOf(ctx context.Context, conn *pgxpool.Conn) (id uint32, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_catalog.pg_backend_pid()").Scan(&id)
	return id, err
}

// selectSearchPaths returns the search path of a session, the one that it began with, and whether our tables are in the former.
const selectSearchPaths = `
SELECT setting, reset_val, to_regclass('task_event_position') IS NOT NULL
FROM pg_settings
WHERE name = 'search_path'`

const selectOurSchema = `
SELECT coalesce((SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('task_event_position')), '')`

// checkSearchPath refuses to look past our tables: a default of the role, the database or the server must not choose the schema,
// but it may have done so where the URL names none.
func checkSearchPath(ctx context.Context, pool *pgxpool.Pool) error {
	var path, inherited, schema string
	var found bool
	if err := pool.QueryRow(ctx, selectSearchPaths).Scan(&path, &inherited, &found); err != nil || found || path == inherited {
		return err
	}
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('search_path', $1, true)", inherited); err != nil {
			return err
		}
		return tx.QueryRow(ctx, selectOurSchema).Scan(&schema)
	})
	if err != nil || schema == "" {
		return err
	}
	return fmt.Errorf("the tables are in schema %s, to which only a default of the role or the database leads: add search_path=%s to the database URL",
		schema, strings.ReplaceAll(url.QueryEscape(schema), "+", "%20"))
}
