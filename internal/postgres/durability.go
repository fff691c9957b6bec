package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const selectForgetful = `
SELECT name
FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'
ORDER BY name`

// Forgetful returns the settings of the server with which the database may forget in a crash what it has committed. A task that
// was acknowledged can be lost then, and an attempt that was sent be sent again. Sessions set synchronous_commit themselves.
func (s *Store) Forgetful(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, selectForgetful)
	if err != nil {
		return nil, fmt.Errorf("read the database's settings: %w", err)
	}
	settings, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the database's settings: %w", err)
	}
	return settings, nil
}
