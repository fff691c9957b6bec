package media

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// minProgress is how much of a body must arrive within the guard's StallTimeout. A server that sends a byte now and then stalls,
// too.
const minProgress = 64 << 10

// errSlow means that a body sent less than minProgress within the StallTimeout.
var errSlow = errors.New("the body came too slowly")

// transport asks the guard before each request, redirects included, and aborts bodies that stall. Without a
// StallTimeout it leaves bodies alone.
type transport struct {
	guard Guard
	base  *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.guard.check(req.URL); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	if t.guard.StallTimeout == 0 {
		return t.base.RoundTrip(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := t.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = newBody(ctx, cancel, resp.Body, t.guard.StallTimeout)
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (t *transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// body is a response body with a timer on its reads. The timer stops between reads, so that a slow reader does not count as a
// slow server, and starts again after every minProgress bytes.
type body struct {
	io.ReadCloser
	ctx          context.Context // The request's: its cause shows whether the body was too slow.
	cancel       context.CancelCauseFunc
	timer        *time.Timer
	stallTimeout time.Duration
	waited       time.Duration
	got          int
}

// newBody adds the timer to r, whose reads must end when cancel ends its request.
func newBody(ctx context.Context, cancel context.CancelCauseFunc, r io.ReadCloser, stallTimeout time.Duration) *body {
	timer := time.AfterFunc(stallTimeout, func() { cancel(errSlow) })
	timer.Stop()
	return &body{ReadCloser: r, ctx: ctx, cancel: cancel, timer: timer, stallTimeout: stallTimeout}
}

func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	b.timer.Reset(b.stallTimeout - b.waited)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.waited += time.Since(began)
	if b.got += n; b.got >= minProgress {
		b.got, b.waited = 0, 0
	}
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errSlow) {
		err = errSlow
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
