package dbpool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// directConns is the size of the pool of a direct URL without pool_max_conns: a replica listens on a connection of the job queue, holds
// a lock while it removes what has expired, and checks the schema when it starts. The connection of task changes is outside of pools.
const directConns = 3

// OpenDirect is Open for the URL of what needs a session of its own, next to a pool of OpenPooled.
func OpenDirect(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	c, err := configure(databaseURL, statementTimeout)
	if err != nil {
		return nil, fmt.Errorf("--database-direct-url: %w", err)
	}
	if named, err := namesPoolSize(databaseURL); err == nil && !named {
		c.pool.MaxConns = directConns
	}
	c.pool.ConnConfig.AfterConnect = beginSession(c.searchPath)
	pool, err := retry(ctx, func() (*pgxpool.Pool, error) { return c.reach(ctx) })
	if err != nil {
		return nil, fmt.Errorf("--database-direct-url: %w", err)
	}
	return pool, nil
}

// OpenPooled connects to the database of another pool through a pooler that may lend a PostgreSQL session for a single transaction.
// What needs a session of its own uses the other pool, direct: LISTEN, session locks and migrations.
//
// Nothing belongs to a session here. Statements are not prepared, only described: PostgreSQL plans each of them at each call.
// Settings can't be set, so the sessions must have them by themselves, as defaults of the role. OpenPooled returns ErrSettings where
// they lack some, and ErrOtherDatabase where the two URLs lead to different databases. In everything else it is as Open.
func OpenPooled(ctx context.Context, databaseURL string, direct *pgxpool.Pool) (*pgxpool.Pool, error) {
	c, err := configure(databaseURL, statementTimeout)
	if err != nil {
		return nil, err
	}
	c.pool.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	// A pooler keeps these for each of its clients, because the server reports them. It refuses or ignores others.
	for name, value := range reportedSettings {
		c.pool.ConnConfig.RuntimeParams[name] = value
	}
	c.pool.ConnConfig.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[madeKey] = time.Now()
		return nil
	}
	return retry(ctx, func() (*pgxpool.Pool, error) {
		return c.connect(ctx, func(pool *pgxpool.Pool) error {
			if err := checkSettings(ctx, pool, c.searchPath); err != nil {
				return err
			}
			return checkSameDatabase(ctx, pool, direct)
		})
	})
}

// reportedSettings are the settings among sessionSettings that the server reports to its clients, and that a pooler therefore keeps.
var reportedSettings = map[string]string{
	"client_encoding": "UTF8", "standard_conforming_strings": "on", "TimeZone": "UTC", "DateStyle": "ISO, MDY",
}

// inheritedSettings are those that the sessions of a pooler must have by themselves: sessionSettings and servingTimeouts without
// what concerns the connection between the pooler and the server.
var inheritedSettings = []struct{ name, value string }{
	{"statement_timeout", "15s"},
	{"idle_in_transaction_session_timeout", "15s"},
	{"lock_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"transaction_timeout", "0"}, // Since PostgreSQL 17.
	{"default_transaction_isolation", "read committed"},
	{"bytea_output", "hex"},
	{"IntervalStyle", "postgres"},
	{"extra_float_digits", "1"},
	{"array_nulls", "on"},
	{"jit", "off"},
}

// ErrSettings means that the sessions of a pooler do not have the settings that the service depends on.
var ErrSettings = errors.New("the sessions that the pooler lends lack settings that Refract can't set there")

const selectSettings = `
SELECT name, pg_catalog.current_setting(name, true)
FROM unnest($1::text[]) AS name
WHERE pg_catalog.current_setting(name, true) IS NOT NULL`

// checkSettings returns ErrSettings, with the statements that provide the settings, unless a session has all of them.
func checkSettings(ctx context.Context, pool *pgxpool.Pool, searchPath string) error {
	names := []string{"search_path", "synchronous_commit"}
	for _, s := range inheritedSettings {
		names = append(names, s.name)
	}
	for name := range reportedSettings {
		names = append(names, name)
	}
	rows, err := pool.Query(ctx, selectSettings, names)
	if err != nil {
		return err
	}
	has := map[string]string{}
	var name, value string
	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error { has[name] = value; return nil }); err != nil {
		return err
	}
	var lacking []string
	lack := func(name, value string) { lacking = append(lacking, "SET "+name+" = "+value) }
	if has["search_path"] != searchPath && searchPath != "" {
		lack("search_path", searchPath)
	}
	if has["synchronous_commit"] == "off" {
		lack("synchronous_commit", "on")
	}
	for _, s := range inheritedSettings {
		if value, exists := has[s.name]; exists && value != s.value {
			lack(s.name, "'"+s.value+"'")
		}
	}
	for name, value := range reportedSettings {
		if has[name] != value {
			lack(name, "'"+value+"'")
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	var alter string
	if err := pool.QueryRow(ctx, selectAlterRole).Scan(&alter); err != nil {
		return err
	}
	slices.Sort(lacking)
	for i := range lacking {
		lacking[i] = alter + lacking[i]
	}
	return fmt.Errorf("%w: make them defaults of its role, then let the pooler connect anew (PgBouncer: RECONNECT): %s",
		ErrSettings, strings.Join(lacking, "; "))
}

const selectAlterRole = `
SELECT pg_catalog.format('ALTER ROLE %I IN DATABASE %I ', session_user, pg_catalog.current_database())`

// ErrOtherDatabase means that the database that a pooler leads to is not the one that is connected directly.
var ErrOtherDatabase = errors.New("--database-url and --database-direct-url lead to different databases, or to a primary and its standby: " +
	"both must lead to the same database of the same primary")

const selectLock = `
SELECT EXISTS (
    SELECT
    FROM pg_catalog.pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid::bigint = 0 AND objid::bigint = $1
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))`

// checkSameDatabase returns ErrOtherDatabase unless a lock that one pool takes is visible to the other. Replicas must see each
// other's locks in just this way.
func checkSameDatabase(ctx context.Context, pool, direct *pgxpool.Pool) error {
	key := rand.Int64N(1 << 31)    //nolint:gosec // The key is no secret.
	conn, err := pool.Acquire(ctx) // First, because the server ends a transaction that waits for long.
	if err != nil {
		return err
	}
	defer conn.Release()
	return pgx.BeginFunc(ctx, direct, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock_shared($1)", key); err != nil {
			return err
		}
		var same bool
		if err := conn.QueryRow(ctx, selectLock, key).Scan(&same); err != nil {
			return err
		}
		if !same {
			// The server may have ended the transaction meanwhile, and with it the lock.
			if _, err := tx.Exec(ctx, "SELECT"); err != nil {
				return err
			}
			return ErrOtherDatabase
		}
		return nil
	})
}
