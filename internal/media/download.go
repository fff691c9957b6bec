package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/refract-video/refract/internal/loop"
)

// errRestart means that a download can't resume: the file has changed, or the server does not support ranges.
var errRestart = errors.New("the download has to start again")

// errEnded means that the file ends where the download is.
var errEnded = errors.New("the file has ended")

// How often a download is resumed, and when.
const (
	maxStalledConnections = 10 // Connections in a row that brought less than minProgress.
	maxStarts             = 5  // Starts from the first byte.

	defaultPause = 100 * time.Millisecond // Before the second connection; each pause is twice the one before,
	longestPause = 100                    // up to this many times the first.
)

// download reads the file behind a link, from its first byte to its last. A connection that breaks is replaced by
// one that goes on where it broke, if the server can tell that the file is still the same. What has passed is counted, and
// hashed, its headers are captured, and at the end they are inspected: a Read returns io.EOF only after a whole video.
type download struct {
	ctx    context.Context
	client *http.Client
	link   string
	limit  int64

	body        io.ReadCloser // Nil between connections.
	broke       error         // Why the last connection ended.
	offset      int64
	total       int64 // -1 where the server does not say.
	validator   string
	stalled     int   // Connections in a row that brought less than minProgress.
	connectedAt int64 // The offset at which the current connection began.
	failed      error // Why there is no more to read, unless it has ended.
	pauses      *backoff.ExponentialBackOff

	hash      *hasher
	capture   mp4HeaderCapture
	container Container
}

// begin connects and returns the download, whose close the caller calls.
func (s *Saver) begin(ctx context.Context, link string) (*download, error) {
	d := &download{
		ctx: ctx, client: s.Client, link: link, limit: cmp.Or(s.MaxBytes, DefaultMaxBytes), total: -1, pauses: s.pauses(),
	}
	if err := d.connect(); err != nil {
		return nil, err
	}
	d.hash = newHasher()
	return d, nil
}

func (s *Saver) pauses() *backoff.ExponentialBackOff {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier = cmp.Or(s.Pause, defaultPause), 2
	pauses.MaxInterval = longestPause * pauses.InitialInterval
	return pauses
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	n, err := d.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		d.failed = err
	}
	return n, err
}

func (d *download) read(p []byte) (int, error) {
	for {
		if d.body == nil {
			if err := d.connect(); err != nil {
				return 0, err
			}
		}
		n, err := d.body.Read(p)
		d.hash.write(p[:n])
		_, _ = d.capture.Write(p[:n]) // It never fails.
		d.offset += int64(n)
		switch {
		case d.offset > d.limit:
			return n, fmt.Errorf("%w: more than the %d bytes allowed", ErrTooLarge, d.limit)
		case err == nil:
			return n, nil
		case d.offset == d.total, errors.Is(err, io.EOF) && d.total < 0:
			return n, d.end() // All bytes are here, so it does not matter how the connection ended.
		}
		d.drop(err)
		if n > 0 {
			return n, nil
		}
	}
}

// close ends the download.
func (d *download) close() {
	if d.body != nil {
		_ = d.body.Close() // It was only read.
	}
	d.hash.sum()
}

// drop closes a connection that broke.
func (d *download) drop(err error) {
	_ = d.body.Close()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	d.body, d.broke = nil, withoutQuotes(err)
	if d.offset-d.connectedAt >= minProgress {
		d.stalled = 0
		d.pauses.Reset()
	}
}

// end inspects the file after its last byte.
func (d *download) end() (err error) {
	if d.container, err = Inspect(&d.capture, d.offset); err != nil {
		return err
	}
	return io.EOF
}

// connect connects, and retries while the failures are temporary.
func (d *download) connect() error {
	for {
		if d.broke != nil {
			if err := d.wait(); err != nil {
				return err
			}
		}
		d.connectedAt = d.offset
		err := d.request()
		switch {
		case errors.Is(err, errRestart):
			return fmt.Errorf("%w after the connection broke: %w", err, d.broke)
		case err == nil || !temporary(err):
			return err
		}
		d.broke = err
	}
}

// temporary reports whether a failure to connect may pass without a change of the link or the file.
func temporary(err error) bool {
	for _, lasting := range []error{
		errRestart, ErrLinkDead, ErrBlocked, ErrNotVideo, ErrTooLarge, errRedirects, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	return true
}

// wait waits before the next connection, or returns why there is none.
func (d *download) wait() error {
	if d.stalled++; d.stalled > maxStalledConnections {
		return fmt.Errorf("%d connections in a row delivered nothing: %w", maxStalledConnections, d.broke)
	}
	wait := d.pauses.NextBackOff()
	if busy, ok := errors.AsType[*StatusError](d.broke); ok {
		wait = max(wait, min(busy.RetryAfter, d.pauses.MaxInterval))
	}
	return loop.Sleep(d.ctx, wait)
}

// request asks the server for the rest of the file.
func (d *download) request() error {
	if d.offset > 0 && d.validator == "" {
		return errRestart
	}
	resp, err := fetch(d.ctx, d.client, d.link, part{d.offset, d.validator})
	if errors.Is(err, errEnded) && (d.total < 0 || d.total == d.offset) {
		d.total, d.body, d.broke = d.offset, http.NoBody, nil
		return nil
	}
	if errors.Is(err, errEnded) {
		return errRestart // It is shorter than it was.
	}
	if err != nil {
		return err
	}
	if err := d.accept(resp); err != nil {
		_ = resp.Body.Close()
		return err
	}
	d.body, d.broke = resp.Body, nil
	return nil
}

// accept checks that an answer has the rest of the file.
func (d *download) accept(resp *http.Response) error {
	if d.offset == 0 {
		d.total, d.validator = resp.ContentLength, validatorOf(resp.Header)
		return d.fits()
	}
	r, ok := partOf(resp)
	switch {
	case !ok, r.First != d.offset:
		return errRestart
	case r.Size >= 0 && d.total >= 0 && r.Size != d.total:
		return errRestart
	case resp.Header.Get("ETag") != "" && validatorOf(resp.Header) != d.validator && d.validator[0] == '"':
		return errRestart // A server that does not heed If-Range.
	}
	if d.total < 0 {
		d.total = r.Size // The first answer did not say. Without it, any clean end would pass for the end of the file.
	}
	return d.fits()
}

// fits checks the size of the file, as far as it is known.
func (d *download) fits() error {
	if d.total > d.limit {
		return fmt.Errorf("%w: %d bytes, and %d are allowed", ErrTooLarge, d.total, d.limit)
	}
	return nil
}
