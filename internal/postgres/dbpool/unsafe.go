package dbpool

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const selectUnsafeSettings = `
SELECT name
FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'
ORDER BY name`

// UnsafeSettings returns the settings of the server with which a crash can lose what was committed. Then a task that was
// acknowledged can be lost, and an attempt that was sent can be sent again. Sessions set synchronous_commit themselves.
func UnsafeSettings(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	rows, err := pool.Query(ctx, selectUnsafeSettings)
	if err != nil {
		return nil, fmt.Errorf("read the database's settings: %w", err)
	}
	settings, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the database's settings: %w", err)
	}
	return settings, nil
}
