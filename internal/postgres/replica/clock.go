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
	// clockTick is how often the database's clock is read. Between readings this machine's monotonic clock counts.
	clockTick = 30 * time.Second
	// clockSlack is how long a reading may take to be used without another try. Its error is at most half of that.
	clockSlack = time.Second
)

// Clock has the time of the database, on which all replicas agree. The wall clock of a replica may be wrong by minutes, and may
// be set while it runs; neither changes this clock. While the database is out of reach the clock goes on. Its methods may be
// called concurrently.
type Clock struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	reading atomic.Pointer[reading]
}

// reading is what the database's clock showed at a local time.
type reading struct {
	database time.Time
	local    time.Time // Carries the monotonic clock, which can't be set.
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
