package source

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/task"
)

const (
	// defaultStall is how long a caller may send nothing.
	defaultStall = 30 * time.Second
	// defaultAtOnce is how many calls of a tenant may send bytes or finish an upload at a time: half of what a process
	// writes.
	defaultAtOnce = partsAtOnce / 2
)

// errSilent means that a body brought nothing for too long.
var errSilent = errors.New("the caller is silent")

// calls are the calls under way in this process. The zero value has none.
type calls struct {
	mu       sync.Mutex
	life     context.Context //nolint:containedctx // It ends with a drain, not with a call.
	drain    context.CancelFunc
	sending  map[string]int // How many send bytes or finish an upload, by tenant.
	finishes map[finishKey]*finishing
}

// finishKey names an upload that is being finished.
type finishKey struct {
	tenant string
	id     task.UploadID
}

// finishing is what becomes of an upload, once done is closed.
type finishing struct {
	done chan struct{}
	p    Progress
	err  error
}

// Drain ends the uploads under way where they are, so that they go on elsewhere. What has arrived whole is still finished.
func (u *Uploads) Drain() {
	_ = u.life()
	u.calls.drain()
}

// life returns a context that ends with a drain.
func (u *Uploads) life() context.Context {
	c := &u.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		c.life, c.drain = context.WithCancel(context.Background())
	}
	return c.life
}

// Await waits as long as a caller may be silent for what it says first, until ready is closed. The errors are
// StalledError, ErrDraining and that of ctx.
func (u *Uploads) Await(ctx context.Context, ready <-chan struct{}) error {
	silence := time.NewTimer(u.stall())
	defer silence.Stop()
	select {
	case <-ready:
		return nil
	case <-silence.C:
		return &StalledError{After: u.stall()}
	case <-u.life().Done():
		return ErrDraining
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *Uploads) stall() time.Duration {
	if u.Stall == 0 {
		return defaultStall
	}
	return u.Stall
}

// enter lets a call send bytes or finish an upload, until leave is called, or refuses it where the tenant has as many calls as it may.
func (u *Uploads) enter(tenant string) (leave func(), err error) {
	limit := u.AtOnce
	if limit == 0 {
		limit = defaultAtOnce
	}
	c := &u.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sending[tenant] >= limit {
		return nil, &BusyError{Limit: limit}
	}
	if c.sending == nil {
		c.sending = map[string]int{}
	}
	c.sending[tenant]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.sending[tenant]--; c.sending[tenant] == 0 {
			delete(c.sending, tenant)
		}
	}, nil
}

// finishOnce finishes an upload, or waits for the call that does so already, as long as its own caller does. A call that
// has not entered does so where it is the one that finishes: that takes one of the places to write for long.
func (u *Uploads) finishOnce(ctx context.Context, tenant string, id task.UploadID, up Upload, entered bool) (Progress, error) {
	key, c := finishKey{tenant, id}, &u.calls
	c.mu.Lock()
	f, busy := c.finishes[key]
	if !busy {
		f = &finishing{done: make(chan struct{})}
		if c.finishes == nil {
			c.finishes = map[finishKey]*finishing{}
		}
		c.finishes[key] = f
	}
	c.mu.Unlock()
	if busy {
		select {
		case <-f.done:
			return f.p, f.err
		case <-ctx.Done():
			return Progress{}, ctx.Err()
		}
	}
	f.err = errors.New("the call that finished it broke off") // Unless it returns.
	defer func() {
		c.mu.Lock()
		delete(c.finishes, key)
		c.mu.Unlock()
		close(f.done)
	}()
	if !entered {
		leave, err := u.enter(tenant)
		if err != nil {
			f.err = err
			return f.p, f.err
		}
		defer leave()
	}
	f.p, f.err = u.finish(ctx, tenant, id, up)
	return f.p, f.err
}

// steadyBody is a body that ends with errSilent where it falls silent, with ErrDraining when the process stops, and with the
// cause for which the context of its call was canceled, such as credentials that were revoked.
type steadyBody struct {
	pipe    *io.PipeReader
	silence *time.Timer
	stall   time.Duration
}

// steady returns body as one that does not keep its reader waiting. Only the time that the reader waits counts as
// silence.
//
// NOTE: the goroutine that reads from body lasts as long as the read that it is in, which done does not end.
func (u *Uploads) steady(ctx context.Context, body io.Reader) (s *steadyBody, done func()) {
	in, out := io.Pipe()
	go func() {
		_, err := io.Copy(out, body)
		_ = out.CloseWithError(err) // It always returns nil.
	}()
	stop := context.AfterFunc(u.life(), func() { _ = out.CloseWithError(ErrDraining) }) //nolint:contextcheck // The drain ends it, not the call.
	forget := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); cause != ctx.Err() { //nolint:errorlint // A caller who is gone ends body, after what came before.
			_ = out.CloseWithError(cause)
		}
	})
	silence := time.AfterFunc(u.stall(), func() { _ = out.CloseWithError(errSilent) })
	silence.Stop()
	return &steadyBody{pipe: in, silence: silence, stall: u.stall()}, func() {
		stop()
		forget()
		silence.Stop()
		_ = in.Close()
	}
}

// Read reads what body brings.
func (s *steadyBody) Read(p []byte) (int, error) {
	s.silence.Reset(s.stall)
	defer s.silence.Stop()
	return s.pipe.Read(p)
}
