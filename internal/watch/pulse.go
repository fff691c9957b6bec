package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
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
// drains or the log is lost. The goroutine of the watch holds its lock except while it waits or reads, and the
// sender of a bookmark holds it meanwhile, so the lock guards all that a stream knows of itself: one message is sent at a time, and none after the end.
type pulse struct {
	hub    *Hub
	beat   beater
	failed chan error   // One slot: why the stream ends, since a bookmark could not be sent or the log is lost. No bookmark follows.
	due    atomic.Int64 // The beat at which a bookmark is due.

	mu   sync.Mutex
	last time.Duration // When the newest message was sent, or the stream began, as the state of the log counts it.

	// The lock of bookmarks guards the rest.
	slot  *[]*pulse // Where it waits to be due, and at which place; nil while it is queued.
	place int
	ended bool
}

// beater sends a bookmark.
type beater interface{ sendBookmark() error }

// start begins the pulse of a watch, which calls stop when it returns.
func (p *pulse) start(h *Hub, b beater) {
	p.hub, p.beat, p.failed, p.last = h, b, make(chan error, 1), h.log.now()
	p.due.Store(h.bookmarks.due())
	p.mu.Lock()
	h.bookmarks.add(p)
}

// stop makes sure that nothing is sent any more: the lock is never released again.
func (p *pulse) stop() { p.hub.bookmarks.remove(p) }

// tick sends a bookmark if the stream is silent and the log confirms it, and reports whether others may follow. A stream
// that is locked is sending, or about to wait. When the log is lost tick ends the stream instead.
func (p *pulse) tick() bool {
	if err := p.hub.log.lost(); err != nil {
		p.failed <- err
		return false
	}
	if !p.mu.TryLock() {
		return true
	}
	defer p.mu.Unlock()
	if p.due.Load() > p.hub.bookmarks.now() {
		return true
	}
	if !p.hub.log.confirmedAfter(p.last) {
		p.due.Store(p.hub.bookmarks.retry())
		return true
	}
	if err := p.emit(p.beat.sendBookmark); err != nil {
		p.failed <- err
		return false
	}
	return true
}

// emit sends one message, unless the stream has to end, and puts the next bookmark off. To send
// is all that it does: a stream that read what belongs to its message here would be silent until it has a place.
func (p *pulse) emit(send func() error) error {
	select {
	case err := <-p.failed:
		return err
	case <-p.hub.drained:
		return ErrDraining
	default:
	}
	if err := send(); err != nil {
		return err
	}
	p.last = p.hub.log.now()
	p.due.Store(p.hub.bookmarks.due())
	return nil
}

// read reads the table by a function, which is called without the lock, and again when it fails. Bookmarks are sent
// meanwhile. Reads of all watches together are bounded: who finds no place waits in the same way.
//
// NOTE: the lock is not taken before the place is given back. It may be held by a bookmark whose receiver does not read,
// and a few of those would keep all places.
func (p *pulse) read(ctx context.Context, once func(context.Context) error) error {
	p.mu.Unlock()
	defer p.mu.Lock()
	var began time.Time
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		if err := await(ctx, p, p.hub.reads); err != nil {
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
		spread := rand.N(delay) //nolint:gosec // Spreads the reads of watchers; a guess of it is worth nothing.
		if err := await(ctx, p, time.After(delay/2+spread/2)); err != nil {
			return err
		}
	}
}

func (p *pulse) readOnce(ctx context.Context, once func(context.Context) error) error {
	defer func() { p.hub.reads <- struct{}{} }()
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := once(bounded)
	if err != nil && !final(err) && bounded.Err() != nil && ctx.Err() == nil { // The time was ours, not the caller's.
		return fmt.Errorf("%w within %v: %w", ErrNotReading, readTimeout, err)
	}
	return err
}

// await returns nil when the channel has something. It is called without the lock, so that bookmarks are sent until then.
//
// NOTE: here idle streams stand, and no function comes between their loop and this one for the sake of their stacks: with one
// frame more those of a hundred thousand streams would be kept at twice their size.
func await[T any](ctx context.Context, p *pulse, until <-chan T) error {
	select {
	case <-until:
		return nil
	case err := <-p.failed:
		return err
	case <-p.hub.drained:
		return ErrDraining
	case <-ctx.Done():
		return ctx.Err()
	}
}
