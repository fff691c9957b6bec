package migrations

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// oldestCompatible is the schema version of the oldest release that works on the schema of this release: the release before, of
// which replicas run during an upgrade, and start again after a rollback. It goes up with a release, never with a migration.
const oldestCompatible = 102

// NOTE: the row is written before the migrations too, so that a replica of the release before that starts meanwhile finds it.
const insertCompat = `
INSERT INTO schema_compat (version, oldest) VALUES ($1, $2)
ON CONFLICT ON CONSTRAINT schema_compat_pkey DO UPDATE SET oldest = excluded.oldest`

const existsCompat = `SELECT to_regclass('schema_compat') IS NOT NULL`

// record notes which releases work with the schema of the release whose version is target, unless the table is still missing.
func record(ctx context.Context, pool *pgxpool.Pool, target, oldest int64) error {
	var exists bool
	if err := pool.QueryRow(ctx, existsCompat).Scan(&exists); err != nil {
		return fmt.Errorf("look for the compatible releases: %w", err)
	}
	if !exists {
		return nil
	}
	if _, err := pool.Exec(ctx, insertCompat, target, oldest); err != nil {
		return fmt.Errorf("note the compatible releases: %w", err)
	}
	return nil
}

// selectCompat returns the newest version that a release noted, and the oldest that all releases after ours work with.
const selectCompat = `
SELECT coalesce(max(version), 0), coalesce(max(oldest), 0) FROM schema_compat WHERE version > $1`

// checkNewer returns ErrNew for a schema of a newer release unless this release, whose version is target, works with it.
func checkNewer(ctx context.Context, pool *pgxpool.Pool, current, target int64) error {
	var exists bool
	if err := pool.QueryRow(ctx, existsCompat).Scan(&exists); err != nil {
		return fmt.Errorf("look for the compatible releases: %w", err)
	}
	var noted, oldest int64
	if exists {
		if err := pool.QueryRow(ctx, selectCompat, target).Scan(&noted, &oldest); err != nil {
			return fmt.Errorf("read the compatible releases: %w", err)
		}
	}
	switch {
	case noted < current:
		return fmt.Errorf("schema version %d, this release knows %d: %w", current, target, ErrNew)
	case oldest > target:
		return fmt.Errorf("schema version %d works with releases since schema version %d, this release has %d: %w", current, oldest, target, ErrNew)
	default:
		return nil
	}
}
