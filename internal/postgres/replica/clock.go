package replica

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// clockTick is the interval between readings of the database's clock. Between readings, this machine's monotonic clock is
	// used.
	clockTick = 30 * time.Second
	// clockSlack is the maximum time of a good reading. After a slower one, the clock is read again, up to clockTries times, and the
	// fastest reading counts. The error of a reading is at most half of its time.
	clockSlack = 20 * time.Millisecond
	clockTries = 5
)

// Clock returns the time of the database, which is the same for all replicas. The wall clock of a replica may be wrong by
// minutes, and may be set while the replica runs. Neither affects this clock. It continues while the database is out of reach.
// Its methods may be called concurrently.
type Clock struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	reading atomic.Pointer[reading]
}

// reading is what the database's clock showed at a local time.
type reading struct {
	database time.Time
	local    time.Time // Includes the monotonic clock, which can't be set.
}

// NewClock reads the clock once. Run corrects it later.
func NewClock(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) (*Clock, error) {
	c := &Clock{pool: pool, log: log}
	r, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	c.reading.Store(&r)
	return c, nil
}

// Now returns the time. It does not wait.
func (c *Clock) Now() time.Time {
	r := c.reading.Load()
	return r.database.Add(time.Since(r.local))
}

// Run reads the clock every 30 seconds until ctx ends.
func (c *Clock) Run(ctx context.Context) error {
	ticker := time.NewTicker(clockTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		r, err := c.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.log.DebugContext(ctx, "reading the database's clock failed; the last reading is still used", "error", err)
		default:
			c.reading.Store(&r)
		}
	}
}

func (c *Clock) read(ctx context.Context) (best reading, err error) {
	fastest := time.Duration(-1)
	for range clockTries {
		var r reading
		before := time.Now()
		if err := c.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&r.database); err != nil {
			return r, fmt.Errorf("read the database's clock: %w", err)
		}
		took := time.Since(before)
		r.local = before.Add(took / 2)
		if fastest < 0 || took < fastest {
			best, fastest = r, took
		}
		if took <= clockSlack {
			break
		}
	}
	return best, nil
}
