package migrations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/dbpool"
)

// A statement that waits for the lock of a table makes all later statements on the table wait. So a migration waits for a lock for
// less time than a statement of the service may take, lets the others pass, and tries again.
const (
	lockTimeout = 3 * time.Second
	firstPause  = time.Second
	longPause   = 15 * time.Second
	lockWait    = 5 * time.Minute // All pauses together. What a migration does between them, such as building an index, may take longer.
)

// ErrLocked means that other transactions held a lock that a migration needs, for as long as the migration tried.
var ErrLocked = errors.New("other transactions hold a lock that the migration needs: end them, or migrate again later; what was migrated stays")

// patience is how a migration waits for locks.
type patience struct{ first, long, all time.Duration }

// retry runs a migration until it gets its locks. The server ends one of two transactions that wait for each other, which may be the
// migration.
//
// NOTE: a migration without a transaction may have run in part, so each of its statements can be repeated.
func (p patience) retry(ctx context.Context, pool *pgxpool.Pool, name string, migrate func() error) error {
	waited := time.Duration(0)
	for pause := p.first; ; pause = min(2*pause, p.long) {
		err := migrate()
		if err == nil || !dbpool.Locked(err) && !dbpool.RolledBack(err) {
			return err
		}
		if waited += pause; waited > p.all {
			return fmt.Errorf("migration %s: %w%s: %w", name, ErrLocked, blockers(ctx, pool), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("migration %s: %w", name, errors.Join(err, ctx.Err()))
		case <-time.After(pause):
		}
	}
}

// selectBlockers returns the oldest transactions that hold locks on tables of our schema. The server hides from us when those of
// some other roles began.
const selectBlockers = `
SELECT format('pid %s of %s (%s), %s, since %s', pid, usename, application_name, coalesce(state, 'state unknown'),
    coalesce(to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC', 'an unknown time'))
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND coalesce(xact_start < now() - interval '1 second', true)
  AND EXISTS (
    SELECT
    FROM pg_locks
    JOIN pg_class ON pg_class.oid = relation
    WHERE pg_locks.pid = pg_stat_activity.pid AND granted AND locktype = 'relation' AND relnamespace = current_schema()::regnamespace
      AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY xact_start NULLS FIRST
LIMIT 5`

// blockers describes the transactions that are probably in the way; empty where none is found.
func blockers(ctx context.Context, pool *pgxpool.Pool) string {
	rows, err := pool.Query(ctx, selectBlockers)
	if err != nil {
		return ""
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(found) == 0 {
		return ""
	}
	return " (" + strings.Join(found, "; ") + ")"
}
