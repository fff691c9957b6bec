package watch

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/task"
)

const (
	// censusBatch is the number of tasks per query of a census.
	censusBatch = 1000
	// sweepPage is the number of entries per query of a sweep.
	sweepPage = 1000
	// minSweepPause is the minimum pause between sweeps, so that a busy log is read by page and not by entry.
	minSweepPause = 3 * time.Millisecond
	// firstDelayAtFrontier and lastDelayAtFrontier bound the pause of a sweep that waits for open transactions.
	firstDelayAtFrontier, lastDelayAtFrontier = time.Millisecond, 50 * time.Millisecond
)

// Run sweeps the log until ctx ends, and then returns nil. It wakes the watchers of changed tasks and the followers of
// the log. The cost depends on the number of changes, not on the number of watched tasks. Run also sends bookmarks, and
// does not return while one is being sent.
//
// While the database fails, Run retries at every interval. It logs the beginning and the end of an outage, not each
// failure, and ends all watches after an outage of 30 seconds.
func (h *Hub) Run(ctx context.Context) error {
	var background sync.WaitGroup
	defer background.Wait()
	background.Go(func() { h.runCensus(ctx) })
	background.Go(func() { h.bookmarks.run(ctx) })
	ticker := time.NewTicker(h.cfg.Sweep)
	defer ticker.Stop()
	s := sweeper{hub: h}
	failing := false
	for {
		err := s.sweep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			h.log.fail(err)
		}
		switch {
		case err != nil && !failing:
			h.cfg.Logger.ErrorContext(ctx, "sweeps of the log fail: lost notifications go unnoticed; will retry", "error", err)
		case err == nil && failing:
			h.cfg.Logger.InfoContext(ctx, "sweeps of the log succeed again")
		}
		failing, s.stale = err != nil, err != nil
		if loop.Sleep(ctx, minSweepPause) != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-h.sweepNow:
		}
	}
}

// sweeper reads the log up to the frontier.
type sweeper struct {
	hub    *Hub
	begun  bool
	cursor task.Position // The last entry that was read.
	seen   task.Position // The log has nothing more up to here.
	asked  time.Duration // When the newest query for the frontier began.
	stale  bool          // Whether the last sweep failed: retention may have removed entries before they were read.
}

// sweep reads everything that was in the log, or written by an open transaction, when it began.
func (s *sweeper) sweep(ctx context.Context) error {
	delay := firstDelayAtFrontier
	settled, target, err := s.frontier(ctx)
	newest := target
	if err == nil && target < s.cursor {
		err = s.rewind(ctx, settled)
	}
	for {
		switch {
		case err != nil:
		case s.begun:
			err = s.read(ctx, settled)
		case settled >= target: // Before that, removed entries would look like entries that are still being committed.
			err = s.begin(ctx, settled)
		}
		if err == nil && settled < target && delay == lastDelayAtFrontier && s.hub.watchesTasks() {
			err = s.hint(ctx, settled, newest)
		}
		if err != nil {
			return err
		}
		s.hub.log.confirm(s.asked)
		if settled >= target {
			s.hub.cfg.Metrics.sweptNow()
			return nil
		}
		if err := loop.Sleep(ctx, delay); err != nil {
			return err
		}
		delay = min(2*delay, lastDelayAtFrontier)
		settled, newest, err = s.frontier(ctx)
	}
}

// read publishes the entries between the cursor and the frontier.
//
// NOTE: the cursor moves to entries, never to the frontier itself. An entry that was read is durable, and so is its
// position. A position that was never committed may be taken again after a crash of the database.
func (s *sweeper) read(ctx context.Context, settled task.Position) error {
	for settled > s.seen {
		if s.hub.unwatched() {
			return s.pass(ctx, settled)
		}
		asked := s.hub.log.now()
		entries, err := s.entries(ctx, s.cursor, settled)
		if err != nil {
			return err
		}
		for i := range entries {
			s.hub.shard(entries[i].Task).wake(entries[i].Task, entries[i].Event.Revision)
		}
		n := len(entries)
		if n > 0 {
			s.cursor = entries[n-1].Position
		}
		if s.stale && n > 0 { // Only the table shows whether retention has removed entries that were not read in time.
			s.hub.feed.skip(s.cursor)
		} else {
			s.hub.feed.publish(entries)
		}
		if n < sweepPage {
			s.seen = settled
		}
		s.hub.log.confirm(asked) // Each page is progress, however long the log is.
	}
	return nil
}

// pass skips entries that no stream of this replica watches. A stream that begins meanwhile reads the table, which
// already has all of them.
func (s *sweeper) pass(ctx context.Context, settled task.Position) error {
	last, err := s.hub.last(ctx, settled)
	if err != nil {
		return err
	}
	s.cursor, s.seen = last, settled
	s.hub.feed.skip(last)
	return nil
}

// unwatched reports whether this replica has no stream.
func (h *Hub) unwatched() bool { return !h.watchesTasks() && h.feed.empty() }

// watchesTasks reports whether this replica has a stream of a single task.
func (h *Hub) watchesTasks() bool {
	for i := range h.shards {
		if !h.shards[i].empty() {
			return true
		}
	}
	return false
}

// last returns the last position of an entry up to a position, within readTimeout.
func (h *Hub) last(ctx context.Context, upTo task.Position) (task.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return h.table.LastPosition(ctx, upTo)
}

// hint wakes the watchers of single tasks that have events above a frontier which an open transaction holds back. The
// events of one task are in order even there, and a watcher reads them by revision.
func (s *sweeper) hint(ctx context.Context, settled, newest task.Position) error {
	for after := settled; ; {
		entries, err := s.entries(ctx, after, newest)
		if err != nil {
			return err
		}
		for i := range entries {
			s.hub.shard(entries[i].Task).wake(entries[i].Task, entries[i].Event.Revision)
		}
		if len(entries) < sweepPage {
			return nil
		}
		after = entries[len(entries)-1].Position
	}
}

// begin sets the cursor to the end of the log, and makes streams that are already open read the table again.
func (s *sweeper) begin(ctx context.Context, settled task.Position) error {
	last, err := s.hub.last(ctx, settled)
	if err != nil {
		return err
	}
	s.begun, s.cursor, s.seen = true, last, settled
	s.hub.feed.begin(last)
	s.hub.wakeAll()
	return nil
}

// rewind sets the cursor to the new end of a log that has shrunk.
func (s *sweeper) rewind(ctx context.Context, settled task.Position) error {
	s.hub.cfg.Logger.ErrorContext(ctx, "the log of events has shrunk: was the database restored?", "read_up_to", s.cursor)
	last, err := s.hub.last(ctx, settled)
	if err != nil {
		return err
	}
	s.cursor, s.seen = last, settled
	s.hub.feed.rewind(last)
	s.hub.wakeAll()
	return nil
}

// frontier returns the frontier and the newest position, within readTimeout.
func (s *sweeper) frontier(ctx context.Context) (settled, newest task.Position, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	began := time.Now()
	s.asked = s.hub.log.now()
	settled, newest, err = s.hub.table.Frontier(ctx)
	s.hub.cfg.Metrics.read(ctx, "sweep", began, err)
	s.seen = min(s.seen, settled) // Positions that were never committed may be taken again after a crash.
	return settled, newest, err
}

// entries reads one page, within readTimeout.
func (s *sweeper) entries(ctx context.Context, after, upTo task.Position) ([]task.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	began := time.Now()
	entries, err := s.hub.table.Entries(ctx, after, upTo, sweepPage)
	s.hub.cfg.Metrics.read(ctx, "sweep", began, err)
	return entries, err
}

// runCensus compares the watched tasks with the table at each interval: a removed task leaves no event, and its watches
// must end. It logs no error, since sweeps log the same outage.
func (h *Hub) runCensus(ctx context.Context) {
	ticker := time.NewTicker(h.cfg.Census)
	defer ticker.Stop()
	var ids []task.ID // Reused by each census.
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ids = h.waiting(ids[:0])
		for batch := range slices.Chunk(ids, censusBatch) {
			if err := h.Read(ctx, func() error { return h.compare(ctx, batch) }); err != nil {
				break
			}
		}
	}
}

// waiting appends the tasks that a census compares.
func (h *Hub) waiting(ids []task.ID) []task.ID {
	for i := range h.shards {
		ids = h.shards[i].appendWaiting(ids)
	}
	return ids
}

// compare wakes the watchers of these tasks that are behind the table.
func (h *Hub) compare(ctx context.Context, ids []task.ID) error {
	newest, err := h.revisions(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		revision, ok := newest[id]
		if !ok {
			revision = math.MaxInt64 // The task is gone.
		}
		h.shard(id).wake(id, revision)
	}
	return nil
}

// revisions returns the newest revisions of tasks, within readTimeout.
func (h *Hub) revisions(ctx context.Context, ids []task.ID) (map[task.ID]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	newest, err := h.table.Revisions(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read newest revisions of %d tasks: %w", len(ids), err)
	}
	return newest, nil
}
