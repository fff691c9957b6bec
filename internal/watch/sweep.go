package watch

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// sweepBatch is how many tasks one query of a sweep asks for.
const sweepBatch = 1000

// Run sweeps until ctx ends, and then returns nil: it compares the newest revision of every watched task
// with what its watchers have reached, and wakes those that are behind. While the database fails it tries
// again at every turn; it logs the beginning and the end of an outage, not each failure.
func (h *Hub) Run(ctx context.Context) error {
	turn := time.NewTicker(h.cfg.Sweep)
	defer turn.Stop()
	var ids []task.ID // Used again by each sweep.
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-turn.C:
		case <-h.nudge:
		}
		ids = h.waiting(ids[:0])
		err := h.sweep(ctx, ids)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			h.cfg.Logger.ErrorContext(ctx, "sweeps of watched tasks fail: lost notifications go unnoticed", "error", err)
		case err == nil && failing:
			h.cfg.Logger.InfoContext(ctx, "sweeps of watched tasks succeed again")
		}
		failing = err != nil
	}
}

// waiting appends the tasks that a sweep is about.
func (h *Hub) waiting(ids []task.ID) []task.ID {
	for i := range h.shards {
		ids = h.shards[i].appendWaiting(ids)
	}
	return ids
}

// sweep wakes the watchers of these tasks that are behind the table. It ends at the first error.
func (h *Hub) sweep(ctx context.Context, ids []task.ID) error {
	for batch := range slices.Chunk(ids, sweepBatch) {
		newest, err := h.revisions(ctx, batch)
		if err != nil {
			return err
		}
		for _, id := range batch {
			revision, ok := newest[id]
			if !ok {
				revision = math.MaxInt64 // The task is gone, and its watchers are to find that out.
			}
			h.shard(id).wake(id, revision)
		}
	}
	return nil
}

// revisions asks for the newest revisions of tasks, within the time of one read.
func (h *Hub) revisions(ctx context.Context, ids []task.ID) (map[task.ID]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	newest, err := h.events.Revisions(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read newest revisions of %d tasks: %w", len(ids), err)
	}
	return newest, nil
}
