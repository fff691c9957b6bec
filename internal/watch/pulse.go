package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// How a watch retries its reads while the database fails.
const (
	readTimeout = 5 * time.Second       // The maximum time of one read.
	firstDelay  = 50 * time.Millisecond // Before the first retry; the delay doubles with each retry.
	lastDelay   = 2 * time.Second       // The longest delay.
	outageLimit = 30 * time.Second      // How long reads may fail before the watch ends.
)

// pulse sends the bookmarks of a watch, whatever the watch waits for, and ends it when the hub drains or the log is
// lost.
//
// The goroutine of the watch holds the lock except while it waits or reads. While the goroutine waits or reads, the
// sender of a bookmark holds it. So the lock guards the whole state of a stream: messages are sent one at a time, and
// none after the end.
type pulse struct {
	hub    *Hub
	beat   beater
	failed chan error   // One slot: the error that ends the stream, of a bookmark or of a lost log. No bookmark follows.
	due    atomic.Int64 // The beat at which a bookmark is due.

	mu   sync.Mutex
	last time.Duration // When the newest message was sent, or the stream began, on the clock of logState.

	// The lock of bookmarks guards the rest.
	slot  *[]*pulse // The slot of the ring that holds it; nil while it is queued.
	place int       // Its index there.
	ended bool
}

// beater sends a bookmark.
type beater interface{ sendBookmark() error }

// start begins the bookmarks of a watch. The watch must call stop when it returns.
func (p *pulse) start(h *Hub, b beater) {
	p.hub, p.beat, p.failed, p.last = h, b, make(chan error, 1), h.log.now()
	p.due.Store(h.bookmarks.due())
	p.mu.Lock()
	h.bookmarks.add(p)
}

// stop ends them. It does not release the lock, so nothing can be sent afterwards.
func (p *pulse) stop() { p.hub.bookmarks.remove(p) }

// tick sends a bookmark if the stream is quiet and the log confirms it, and reports whether others may follow. If the
// lock is held, the stream is sending or about to wait, and tick does nothing. If the log is lost, tick ends the stream
// instead.
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

// emit sends one message, unless the stream has to end, and postpones the next bookmark. The function must only send: a
// read in it would keep the stream without bookmarks while it waits to start.
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

// read calls a function that reads the table, without the lock, and retries when it fails. Bookmarks are sent
// meanwhile. The number of concurrent reads of all watches is bounded, and bookmarks are also sent while a read waits
// to start.
//
// NOTE: the slot is returned before the lock is taken. A bookmark whose receiver does not read may hold the lock, and a
// few such receivers would occupy all slots.
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
		case final(err), time.Since(began) >= outageLimit:
			return err
		}
		spread := rand.N(delay) //nolint:gosec // Jitter, not a secret.
		if err := await(ctx, p, time.After(delay/2+spread/2)); err != nil {
			return err
		}
	}
}

func (p *pulse) readOnce(ctx context.Context, once func(context.Context) error) error {
	defer func() { p.hub.reads <- struct{}{} }()
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	began := time.Now()
	err := once(bounded)
	p.hub.cfg.Metrics.read(ctx, "stream", began, err)
	if err != nil && !final(err) && bounded.Err() != nil && ctx.Err() == nil { // readTimeout ended it, not the caller.
		return fmt.Errorf("%w within %v: %w", ErrNotReading, readTimeout, err)
	}
	return err
}

// await returns nil when the channel has a value. It is called without the lock, so bookmarks are sent until then.
//
// NOTE: idle streams wait here. Keep this call directly in the loop of each stream: one more stack frame would double
// the stack size of a hundred thousand idle streams.
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
