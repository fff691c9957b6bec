package media

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// errSilent is why a body ended that sent nothing for too long.
var errSilent = errors.New("the body fell silent")

// transport asks the guard before each request, redirects included, and cuts bodies that fall silent.
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
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := t.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = newBody(ctx, cancel, resp.Body, t.guard.IdleTimeout)
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (t *transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// body is a response body with a watch on each read. The watch stands still between reads, so that a
// slow reader is not taken for a silent server.
type body struct {
	io.ReadCloser
	ctx    context.Context // The request's: its cause tells silence from other ends.
	cancel context.CancelCauseFunc
	timer  *time.Timer
	idle   time.Duration
}

// newBody watches over r, which must end when cancel ends its request.
func newBody(ctx context.Context, cancel context.CancelCauseFunc, r io.ReadCloser, idle time.Duration) *body {
	timer := time.AfterFunc(idle, func() { cancel(errSilent) })
	timer.Stop()
	return &body{ReadCloser: r, ctx: ctx, cancel: cancel, timer: timer, idle: idle}
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errSilent) {
		err = errSilent
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
