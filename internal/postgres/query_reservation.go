package postgres

import (
	"context"
	"fmt"
	"time"
)

// reserveQueries takes the next n times for queries to an account, and returns how long it is until the first. The times are
// $3 seconds apart. They are measured from when the row was locked, not from the start of the transaction.
const reserveQueries = `
INSERT INTO provider_query AS q (account, next_time)
VALUES ($1, clock_timestamp() + $2::int * make_interval(secs => $3))
ON CONFLICT ON CONSTRAINT provider_query_pkey
DO UPDATE SET next_time = greatest(q.next_time, clock_timestamp()) + $2::int * make_interval(secs => $3)
RETURNING extract(epoch FROM next_time - $2::int * make_interval(secs => $3) - clock_timestamp())::float8`

// ReserveQueries implements upstream.Queries.
func (s *Accounts) ReserveQueries(ctx context.Context, account string, n int, pause time.Duration) (time.Duration, error) {
	var seconds float64
	if err := s.pool.QueryRow(ctx, reserveQueries, account, n, pause.Seconds()).Scan(&seconds); err != nil {
		return 0, fmt.Errorf("reserve %d queries to %s: %w", n, account, err)
	}
	return max(time.Duration(seconds*float64(time.Second)), 0), nil
}
