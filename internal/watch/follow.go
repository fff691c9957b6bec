package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Following is what to follow.
type Following struct {
	Tenant string
	After  *task.Position         // The position after which entries are requested; nil means from now on.
	Match  func(*task.Entry) bool // Reports whether an entry is to be sent; nil means all. It must be fast.
	Send   func(*task.Entry, task.Position) error
}

// Follow sends the entries of a tenant that match, each once and by position, so the events of each task come in order.
// Entries are shared and must not be changed. Each message comes with the position to resume after.
//
// A message without an entry is a bookmark. The first message is one. Another one follows whenever nothing was sent for
// Config.Bookmark and the log confirms that there is nothing to send.
//
// Follow runs in the goroutine of its caller. It sends one message at a time, and nothing after it has returned.
// Bookmarks come from a goroutine of Run.
//
// Follow never returns nil, but
//
//   - a *RemovedError when retention removed entries that follow what was sent,
//   - ErrFuturePosition when the log has not reached the position after which entries are requested, or has lost it
//     since the database was set back,
//   - ErrNotReading when the log could not be read for 30 seconds; until it can be, Follow returns at once,
//   - ErrDraining after Drain, the error of ctx after its end, and an error of Send unchanged and at once,
//   - the error of the database when reads of this call failed for 30 seconds.
func (h *Hub) Follow(ctx context.Context, f Following) error {
	w := &follower{tenant: f.Tenant, match: f.Match, send: f.Send, woken: make(chan struct{}, 1)}
	if err := h.refusal(); err != nil {
		return err
	}
	select {
	case <-h.feed.begun:
	case <-h.drained:
		return ErrDraining
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(outageLimit):
		return ErrNotReading
	}
	w.start(h, w)
	defer w.stop()
	defer h.cfg.Metrics.open(ctx, "tenant")()
	h.followers.Add(1)
	defer h.followers.Add(-1)
	w.sent = h.feed.add(w)
	defer h.feed.remove(w)
	if f.After != nil {
		if err := w.begin(ctx, *f.After); err != nil {
			return err
		}
	}
	if err := w.awaitLog(ctx); err != nil {
		return err
	}
	if err := w.emit(w.sendBookmark); err != nil {
		return err
	}
	for {
		if err := w.catchUp(ctx); err != nil {
			return err
		}
		w.mu.Unlock()
		err := await(ctx, &w.pulse, w.woken)
		w.mu.Lock()
		if err != nil {
			return err
		}
		w.live = true
	}
}

// follower is the state of one call of Follow.
type follower struct {
	tenant string
	woken  chan struct{} // One slot, full when something was read since the follower looked.

	cut bool // Whether the log has shrunk. The feed's lock guards it.

	// The pulse's lock guards the rest.
	pulse
	match func(*task.Entry) bool
	send  func(*task.Entry, task.Position) error
	live  bool          // Whether the stream has waited for an entry.
	sent  task.Position // Every entry of the tenant up to here was sent, or did not match.
}

// begin moves the follower to the position after which it resumes. Another replica may have read further than this one,
// but no further than the log goes.
func (w *follower) begin(ctx context.Context, after task.Position) error {
	read := w.sent
	w.sent = after
	if after <= read {
		return nil
	}
	return w.read(ctx, func(ctx context.Context) error {
		_, newest, err := w.hub.table.Frontier(ctx)
		if err == nil && after > newest {
			err = ErrFuturePosition
		}
		return err
	})
}

// awaitLog waits until sweeps succeed, so that no first bookmark is sent while the log cannot be read.
func (w *follower) awaitLog(ctx context.Context) error {
	w.mu.Unlock()
	defer w.mu.Lock()
	return await(ctx, &w.pulse, w.hub.log.answering())
}

// catchUp sends new entries of the feed. While the feed no longer has the next entries, it reads them from the table.
func (w *follower) catchUp(ctx context.Context) error {
	for {
		page, reached, ok, err := w.hub.feed.next(w, w.hub.cfg.Page)
		if err != nil {
			return err
		}
		if !ok {
			if page, reached, err = w.readTable(ctx, reached); err != nil {
				return err
			}
		}
		for _, e := range page {
			if w.match != nil && !w.match(e) {
				continue
			}
			if err := w.emit(func() error { return w.send(e, e.Position) }); err != nil {
				return err
			}
			w.sent = e.Position
			w.hub.cfg.Metrics.sent(ctx, w.live, e.Event.CreateTime)
		}
		w.sent = reached
		if w.hub.draining() {
			return ErrDraining
		}
		if ok && len(page) < w.hub.cfg.Page {
			return nil
		}
	}
}

// readTable returns the next page of the table up to a position, and the position that the follower reaches with it. A
// bookmark that is sent meanwhile does not move the follower, since the feed lacks the next entries.
func (w *follower) readTable(ctx context.Context, upTo task.Position) (page []*task.Entry, reached task.Position, err error) {
	after, limit := w.sent, w.hub.cfg.Page
	err = w.read(ctx, func(ctx context.Context) error {
		entries, removed, err := w.hub.table.TenantEntries(ctx, w.tenant, after, upTo, limit)
		if err != nil {
			return err
		}
		if removed > after {
			return &RemovedError{Oldest: removed}
		}
		page, reached = make([]*task.Entry, len(entries)), upTo
		for i := range entries {
			page[i] = &entries[i]
		}
		if len(entries) == limit {
			reached = entries[limit-1].Position
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("follow tenant %q after position %d: %w", w.tenant, after, err)
	}
	return page, reached, err
}

// sendBookmark sends the position of the follower. A follower that has seen all entries of its tenant is at the
// position up to which the log was read, so it can resume from there after older entries were removed.
func (w *follower) sendBookmark() error {
	page, reached, ok, err := w.hub.feed.next(w, 1)
	if err != nil {
		return err
	}
	if ok && len(page) == 0 {
		w.sent = reached
	}
	return w.send(nil, w.sent)
}
