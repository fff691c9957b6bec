package watch

import (
	"context"
	"math/rand/v2"
	"time"
)

// How a watch meets a database that fails.
const (
	readTimeout = 5 * time.Second       // The longest that one read may take.
	firstDelay  = 50 * time.Millisecond // Before the first repetition; each further delay doubles.
	lastDelay   = 2 * time.Second       // The longest delay.
	patience    = 30 * time.Second      // How long reads may fail before the watch ends.
)

// pulse keeps a watch alive: whatever it waits for, the stream carries a bookmark in time, and ends when the hub
// drains. Only the goroutine of the watch knows it.
type pulse struct {
	hub      *Hub
	bookmark *time.Timer
	beat     beater
}

// beater sends a bookmark.
type beater interface{ sendBookmark() error }

// beat is the grid on which bookmarks are sent. Those of one connection leave together, with one write for all of them:
// idle streams cost a fraction of what bookmarks one by one would. A coarser grid would hold up events behind them.
const beat = 100 * time.Millisecond

func (h *Hub) newPulse(b beater) pulse {
	return pulse{hub: h, bookmark: time.NewTimer(h.untilBookmark()), beat: b}
}

// untilBookmark returns how long a stream may be silent from now on, at most Config.Bookmark.
func (h *Hub) untilBookmark() time.Duration {
	late := (time.Since(h.began) + h.cfg.Bookmark) % beat
	return max(h.cfg.Bookmark-late, h.cfg.Bookmark/2)
}

// emit sends one message, unless the hub drains, and puts the bookmark off.
func (p *pulse) emit(send func() error) error {
	if p.hub.draining() {
		return ErrDraining
	}
	if err := send(); err != nil {
		return err
	}
	p.bookmark.Reset(p.hub.untilBookmark())
	return nil
}

// read reads the table by a function, which is called again when it fails, with bookmarks meanwhile. Reads of all
// watches together are bounded: who finds no place waits in the same way.
func (p *pulse) read(ctx context.Context, once func(context.Context) error) error {
	var began time.Time
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		if err := wait(ctx, p, p.hub.reads); err != nil {
			return err
		}
		if began.IsZero() {
			began = time.Now()
		}
		err := p.readOnce(ctx, once)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err), time.Since(began) >= patience:
			return err
		}
		spread := rand.N(delay) //nolint:gosec // Keeps watchers from knocking in step; nobody gains by guessing it.
		if err := wait(ctx, p, time.After(delay/2+spread/2)); err != nil {
			return err
		}
	}
}

func (p *pulse) readOnce(ctx context.Context, once func(context.Context) error) error {
	defer func() { p.hub.reads <- struct{}{} }()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return once(ctx)
}

// wait returns nil when the channel has something, and sends bookmarks until then.
func wait[T any](ctx context.Context, p *pulse, until <-chan T) error {
	for {
		select {
		case <-until:
			return nil
		case <-p.bookmark.C:
			if err := p.emit(p.beat.sendBookmark); err != nil {
				return err
			}
		case <-p.hub.drained:
			return ErrDraining
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
