package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// ErrUnreachable means that a source could not be fetched. The error is an *UnreachableError.
var ErrUnreachable = errors.New("the source can't be fetched")

// UnreachableError says why a source could not be fetched, in words for the caller.
type UnreachableError struct {
	From       string        // The link's scheme and host.
	Final      bool          // Whether the next try would fail the same way: the link is dead, or leads to a blocked address.
	RetryAfter time.Duration // How long the host asks to wait; 0 where it does not.
	Err        error
}

// Error names the host and what it answered.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%v from %s: %v", ErrUnreachable, e.From, e.Err)
}

// Is reports whether target is ErrUnreachable.
func (*UnreachableError) Is(target error) bool { return target == ErrUnreachable }

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// probeTimeout bounds a probe by default.
const probeTimeout = 20 * time.Second

// Prober inspects sources before a paid attempt uses them. It may be used concurrently.
type Prober struct {
	Client  *http.Client  // From NewClient.
	Timeout time.Duration // Bounds a probe; zero means 20 s.
}

// Probe returns what the file at a link is. It reads the first 64 KiB and, of an MP4 or QuickTime file, the other boxes that
// show the duration, up to 2 MiB. It never sends HEAD, which signed links refuse. Of a host without ranges it reads up to
// 1 MiB from the beginning; what is not found there stays unknown. The headers of the host about the file do not count. Probe
// tries once; the caller decides whether and when to try again.
//
// The error is an *UnreachableError, that of ctx, or a shortage of this machine; it names the link's scheme and host alone.
func (p *Prober) Probe(ctx context.Context, link string) (task.Clip, error) {
	bounded, cancel := context.WithTimeout(ctx, cmp.Or(p.Timeout, probeTimeout))
	defer cancel()
	clip, err := p.look(bounded, link)
	switch {
	case err == nil:
		return clip, nil
	case ctx.Err() != nil:
		return task.Clip{}, ctx.Err()
	case exhausted(err):
		return task.Clip{}, fmt.Errorf("look at a file of %s: %w", origin(link), err)
	}
	unreachable := &UnreachableError{From: origin(link), Final: final(err), Err: err}
	if status, ok := errors.AsType[*StatusError](err); ok {
		unreachable.RetryAfter = status.RetryAfter
	}
	return task.Clip{}, unreachable
}

// exhausted reports whether a connection failed because this machine has no more files, buffers or ports for it. The host
// has no part in that.
func exhausted(err error) bool {
	for _, shortage := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, shortage) {
			return true
		}
	}
	return false
}

// final reports whether a link would fail the same way again. It is false for what a host may recover from: a name that does
// not resolve (yet), connections that fail, a certificate that has expired, an error of the server, and a rate limit.
func final(err error) bool {
	for _, end := range []error{ErrLinkDead, ErrBlocked, ErrNotVideo, errRedirects} {
		if errors.Is(err, end) {
			return true
		}
	}
	status, ok := errors.AsType[*StatusError](err)
	if !ok || status.Status >= http.StatusInternalServerError {
		return false
	}
	switch status.Status {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	default:
		return true
	}
}

// look makes the requests of one probe.
func (p *Prober) look(ctx context.Context, link string) (task.Clip, error) {
	file := &remoteFile{ctx: ctx, client: p.Client, link: link}
	if err := file.open(); err != nil {
		return task.Clip{}, err
	}
	if file.size == 0 {
		return task.Clip{ContentType: unknownType, Flaw: "it is empty"}, nil
	}
	return inspectAt(file, file.size)
}
