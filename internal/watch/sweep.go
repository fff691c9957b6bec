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
	// censusBatch is how many tasks one query of a census asks for.
	censusBatch = 1000
	// sweepPage is how many entries one query of a sweep asks for.
	sweepPage = 1000
	// gather is how long after a sweep the next one begins at the earliest: a busy log is read in pages, not by entry.
	gather = 3 * time.Millisecond
	// firstLook and lastLook are the shortest and the longest pause before a sweep looks again at what was in flight.
	firstLook, lastLook = time.Millisecond, 50 * time.Millisecond
)

// Run reads the log until ctx ends, and then returns nil. It wakes the watchers of tasks that are behind it, and those
// who follow the log. What that costs depends on what changed, and not on how much is watched. While the database fails
// it tries again at every turn; it logs the beginning and the end of an outage, not each failure, and ends all watches
// after 30 seconds of it. It sends bookmarks, too, and does not return while one is being sent.
func (h *Hub) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { h.runCensus(ctx) })
	beside.Go(func() { h.bookmarks.run(ctx) })
	turn := time.NewTicker(h.cfg.Sweep)
	defer turn.Stop()
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
			h.cfg.Logger.ErrorContext(ctx, "sweeps of the log fail: lost notifications go unnoticed", "error", err)
		case err == nil && failing:
			h.cfg.Logger.InfoContext(ctx, "sweeps of the log succeed again")
		}
		failing, s.stale = err != nil, err != nil
		if loop.Sleep(ctx, gather) != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-turn.C:
		case <-h.nudge:
		}
	}
}

// sweeper reads the log.
type sweeper struct {
	hub    *Hub
	begun  bool
	cursor task.Position // The last entry that was read.
	seen   task.Position // Up to here there was nothing more.
	asked  time.Duration // When the frontier was asked for last.
	stale  bool          // Whether the last sweep failed, so that there may be entries which were removed before they were read.
}

// sweep reads everything that was in the log, or in flight, when it began.
func (s *sweeper) sweep(ctx context.Context) error {
	look := firstLook
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
		case settled >= target: // Below that, entries that were removed would seem to be still to come.
			err = s.begin(ctx, settled)
		}
		if err == nil && settled < target && look == lastLook && s.hub.watchesTasks() {
			err = s.hint(ctx, settled, newest)
		}
		if err != nil {
			return err
		}
		s.hub.log.confirm(s.asked)
		if settled >= target {
			return nil
		}
		if err := loop.Sleep(ctx, look); err != nil {
			return err
		}
		look = min(2*look, lastLook)
		settled, newest, err = s.frontier(ctx)
	}
}

// read takes in what lies between the cursor and the frontier.
//
// NOTE: the cursor goes to entries, never to the frontier itself. An entry that was read is durable, and with it that
// its position was taken; a position that was never committed may be taken again after a crash of the database.
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
		if s.stale && n > 0 { // The table alone can tell whether retention has removed what was not read in time.
			s.hub.feed.skip(s.cursor)
		} else {
			s.hub.feed.publish(entries)
		}
		if n < sweepPage {
			s.seen = settled
		}
		s.hub.log.confirm(asked) // However long the log is, each page of it is progress.
	}
	return nil
}

// pass steps over entries that no stream of this replica watches. A stream that begins meanwhile reads the table, which has
// all of them by now.
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

// last asks for the last entry up to a position within the time of one read.
func (h *Hub) last(ctx context.Context, upTo task.Position) (task.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return h.table.LastPosition(ctx, upTo)
}

// hint wakes the watchers of single tasks by what can be seen above a frontier that stands still, since a transaction stays
// open. A task's events are in order wherever the frontier is, and a watcher reads them by revision.
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

// begin finds out where the log ends. Streams that are open already read the table once more.
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

// rewind follows a log that has shrunk to its new end.
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

// frontier asks for the frontier within the time of one read.
func (s *sweeper) frontier(ctx context.Context) (settled, newest task.Position, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	s.asked = s.hub.log.now()
	settled, newest, err = s.hub.table.Frontier(ctx)
	s.seen = min(s.seen, settled) // Positions that were never committed may come again after a crash.
	return settled, newest, err
}

// entries reads one page within the time of one read.
func (s *sweeper) entries(ctx context.Context, after, upTo task.Position) ([]task.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return s.hub.table.Entries(ctx, after, upTo, sweepPage)
}

// runCensus compares the watched tasks with the table now and then: one that was removed leaves no event, and its
// watchers are to find that out. Errors are left to sweeps to tell.
func (h *Hub) runCensus(ctx context.Context) {
	turn := time.NewTicker(h.cfg.Census)
	defer turn.Stop()
	var ids []task.ID // Used again by each census.
	for {
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		}
		ids = h.waiting(ids[:0])
		for batch := range slices.Chunk(ids, censusBatch) {
			if err := h.Read(ctx, func() error { return h.compare(ctx, batch) }); err != nil {
				break
			}
		}
	}
}

// waiting appends the tasks that a census is about.
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

// revisions asks for the newest revisions of tasks, within the time of one read.
func (h *Hub) revisions(ctx context.Context, ids []task.ID) (map[task.ID]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	newest, err := h.table.Revisions(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read newest revisions of %d tasks: %w", len(ids), err)
	}
	return newest, nil
}
