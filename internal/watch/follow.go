package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Following says what to follow.
type Following struct {
	Tenant string
	After  *task.Position         // The position after which entries are wanted; nil means from now.
	Match  func(*task.Entry) bool // Chooses entries; nil means all. It must be quick.
	Send   func(*task.Entry, task.Position) error
}

// Follow sends the entries of a tenant that match, each once and by position, so that those of each task come in order.
// Entries are shared and must not be changed. The position that comes with a message is the one to resume after. A
// message without an entry is a bookmark: the first message is one, and one comes whenever nothing was sent for
// Config.Bookmark and the log confirms that there is nothing. Follow runs in the goroutine of its caller. It sends one message at a time, and nothing after it has
// returned; bookmarks come from a goroutine of Run.
//
// It never returns nil, but
//
//   - a *RemovedError when retention removed entries that follow what was sent,
//   - ErrFuturePosition when the log has not reached the position after which entries are wanted, or does not any more
//     since the database went back in time,
//   - ErrNotReading when the log could not be read for 30 seconds; until it can, Follow returns at once,
//   - ErrDraining after Drain, the error of ctx after its end, and an error of Send as it is, at once,
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
	case <-time.After(patience):
		return ErrNotReading
	}
	w.start(h, w)
	defer w.stop()
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
	}
}

// follower is one call of Follow.
type follower struct {
	tenant string
	woken  chan struct{} // One slot: something was read since the follower looked.

	cut bool // Whether the log shrank. The feed's lock guards it.

	// Its lock guards the rest.
	pulse
	match func(*task.Entry) bool
	send  func(*task.Entry, task.Position) error
	sent  task.Position // Everything up to here was sent, or did not match, or is not of the tenant.
}

// begin moves the follower to where it resumes. Another replica may have read further than this one, but none
// further than the log goes.
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

// awaitLog waits until sweeps succeed, so that the first bookmark does not come from a log that cannot be read.
func (w *follower) awaitLog(ctx context.Context) error {
	w.mu.Unlock()
	defer w.mu.Lock()
	return await(ctx, &w.pulse, w.hub.log.answering())
}

// catchUp sends what the feed has, or where that has moved on without the follower, the table.
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

// readTable returns the next page of the table up to a position, and the position that the follower has reached with it.
// A bookmark that is sent meanwhile moves nothing, since the feed does not have what comes next.
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

// sendBookmark sends how far the follower is. One that has seen all there is of its tenant is as far as the log was read,
// so that it can resume from there when older entries are gone.
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
