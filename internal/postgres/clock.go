package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// clockTick is how often the database's clock is read. Between readings ours only counts, which it does well.
	clockTick = 30 * time.Second
	// clockSlack is how long a reading may take to be believed: it is off by half of that at most.
	clockSlack = time.Second
)

// Clock tells the time as the database has it, which is the one that all replicas agree on. The wall clock of a
// replica may be wrong by minutes, and may be set while it runs; neither is seen here. While the database is out
// of reach the clock goes on. Its methods may be called concurrently.
type Clock struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	reading atomic.Pointer[reading]
}

// reading is what the database's clock showed at a moment of ours.
type reading struct {
	database time.Time
	local    time.Time // Carries the monotonic clock, which nobody sets.
}

// NewClock reads the clock once. Its Run keeps it right.
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

// Run reads the clock again and again until ctx ends.
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
			c.log.DebugContext(ctx, "the database's clock could not be read; ours counts on", "error", err)
		default:
			c.reading.Store(&r)
		}
	}
}

func (c *Clock) read(ctx context.Context) (reading, error) {
	var r reading
	for range 3 {
		before := time.Now()
		if err := c.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&r.database); err != nil {
			return r, fmt.Errorf("read the database's clock: %w", err)
		}
		took := time.Since(before)
		r.local = before.Add(took / 2)
		if took <= clockSlack {
			break
		}
	}
	return r, nil
}
