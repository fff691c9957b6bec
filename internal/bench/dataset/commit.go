package dataset

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/bench"
)

// DurableCommit returns a call that commits one row to a table of its own, which it creates. The latency is that of a round
// trip to the database with one flush to disk.
func DurableCommit(ctx context.Context, pool *pgxpool.Pool) (bench.Call, error) {
	if _, err := pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS bench_commit (n integer NOT NULL)"); err != nil {
		return nil, fmt.Errorf("create the table of the baseline: %w", err)
	}
	return bench.Timed(func(ctx context.Context) error {
		_, err := pool.Exec(ctx, "INSERT INTO bench_commit (n) VALUES (1)")
		return err
	}), nil
}
