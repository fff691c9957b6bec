package migrations

import (
	"context"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OldestCompatible is the oldest release that works with the schema.
const OldestCompatible = oldestCompatible

// ApplyRelease is Apply of a release with other migrations. It retries for locks at short intervals, until all is over.
func ApplyRelease(ctx context.Context, pool *pgxpool.Pool, files fs.FS, oldest int64, all time.Duration) error {
	return apply(ctx, pool, files, oldest, patience{10 * time.Millisecond, 100 * time.Millisecond, all})
}

// Statements returns the statements of a migration.
func Statements(text string) []Statement { return statements(text, map[string]bool{}) }

// Retry runs a migration with the patience of Apply.
func Retry(ctx context.Context, pool *pgxpool.Pool, migrate func() error) error {
	return patience{firstPause, longPause, lockWait}.retry(ctx, pool, "next", migrate)
}
