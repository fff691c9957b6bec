package identity

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

// errLate means that a read took too long for a call that waited for it.
var errLate = errors.New("the read takes too long")

// maxWaiters is how many calls wait for a read at the most.
const maxWaiters = 1000

// timing is what a refresh reads, and when.
type timing struct {
	read     func(context.Context) error // When it fails, everything stays as it was.
	interval time.Duration               // Between two reads.
	retry    time.Duration               // The interval after a read that failed.
	gap      time.Duration               // The least time between two reads, however many calls wait.
	timeout  time.Duration               // Of one read of run.
	patience time.Duration               // How long a call waits.
}

// refresh reads something at intervals, and earlier when a call needs it. All calls that wait share the next read.
type refresh struct {
	timing
	ask loop.Signal // Sent when a call waits for the next read.

	mu      sync.Mutex
	next    *pendingRead // The read that has not begun.
	waiters int
}

// pendingRead is a read, which has ended when done is closed.
type pendingRead struct {
	done chan struct{}
	err  error
}

func newRefresh(t timing) *refresh {
	return &refresh{timing: t, ask: loop.NewSignal(), next: &pendingRead{done: make(chan struct{})}}
}

// once makes one read, for as long as ctx lasts.
func (r *refresh) once(ctx context.Context) error {
	r.mu.Lock()
	this := r.next
	r.next = &pendingRead{done: make(chan struct{})}
	r.mu.Unlock()
	defer close(this.done)
	this.err = r.read(ctx)
	return this.err
}

// timely makes one read within the time for it.
func (r *refresh) timely(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return r.once(ctx)
}

// run reads until ctx ends.
func (r *refresh) run(ctx context.Context) error {
	for {
		due := time.NewTimer(r.interval)
		if r.timely(ctx) != nil {
			due.Reset(r.retry)
		}
		if loop.Sleep(ctx, r.gap) != nil {
			due.Stop()
			return nil
		}
		select {
		case <-ctx.Done():
			due.Stop()
			return nil
		case <-r.ask:
		case <-due.C:
		}
		due.Stop()
	}
}

// await waits for a read that begins after the call. The errors are that of the read, errLate, ErrQueue and that of ctx.
func (r *refresh) await(ctx context.Context) error {
	r.mu.Lock()
	if r.waiters == maxWaiters {
		r.mu.Unlock()
		return ErrQueue
	}
	r.waiters++
	next := r.next
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.waiters--
		r.mu.Unlock()
	}()
	r.ask.Send()
	late := time.NewTimer(r.patience)
	defer late.Stop()
	select {
	case <-next.done:
		return next.err
	case <-late.C:
		return errLate
	case <-ctx.Done():
		return ctx.Err()
	}
}
