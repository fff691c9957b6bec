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

// errAnew means that a download can't go on where it was: the file has changed, or the server knows no ranges.
var errAnew = errors.New("the download has to begin anew")

// errEnded means that there is no more of the file than what was received.
var errEnded = errors.New("the file has ended")

// How often a download is taken up again.
const (
	maxFruitless = 10 // Connections in a row that brought less than minProgress.
	maxBegins    = 5  // Begins from the first byte.

	defaultPause = 100 * time.Millisecond // Before the first further connection; each pause is twice the one before,
	longestPause = 100                    // up to so many times the first.
)

// download reads the file behind a link, from its first byte to its last. A connection that breaks is replaced by
// one that goes on where it broke, if the server can tell that the file is still the same. What has passed is counted, and
// hashed, its headers are captured, and at the end they are inspected: a Read returns io.EOF only after a whole video.
type download struct {
	ctx    context.Context
	client *http.Client
	link   string
	limit  int64

	body      io.ReadCloser // Nil between connections.
	broke     error         // Why the last connection ended.
	offset    int64
	total     int64 // -1 where the server does not say.
	validator string
	fruitless int
	mark      int64 // The offset at which the present connection began.
	failed    error // Why there is no more to read, unless it has ended.
	pauses    *backoff.ExponentialBackOff

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
			return n, d.end() // A connection that breaks after the last byte breaks nothing.
		}
		d.hangUp(err)
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

// hangUp ends a connection that broke.
func (d *download) hangUp(err error) {
	_ = d.body.Close()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	d.body, d.broke = nil, withoutQuotes(err)
	if d.offset-d.mark >= minProgress {
		d.fruitless = 0
		d.pauses.Reset()
	}
}

// end judges the whole file, of which the last byte has passed.
func (d *download) end() (err error) {
	if d.container, err = Inspect(&d.capture, d.offset); err != nil {
		return err
	}
	return io.EOF
}

// connect connects, as often as it makes sense.
func (d *download) connect() error {
	for {
		if d.broke != nil {
			if err := d.wait(); err != nil {
				return err
			}
		}
		d.mark = d.offset
		err := d.ask()
		switch {
		case errors.Is(err, errAnew):
			return fmt.Errorf("%w after it broke off: %w", err, d.broke)
		case err == nil || !passing(err):
			return err
		}
		d.broke = err
	}
}

// passing tells whether a failure to connect may pass by itself.
func passing(err error) bool {
	for _, lasting := range []error{
		errAnew, ErrLinkDead, ErrBlocked, ErrNotVideo, ErrTooLarge, errRedirects, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	return true
}

// wait waits before another connection, or returns why there is none.
func (d *download) wait() error {
	if d.fruitless++; d.fruitless > maxFruitless {
		return fmt.Errorf("%d connections in a row brought nothing: %w", maxFruitless, d.broke)
	}
	wait := d.pauses.NextBackOff()
	if busy, ok := errors.AsType[*StatusError](d.broke); ok {
		wait = max(wait, min(busy.RetryAfter, d.pauses.MaxInterval))
	}
	return loop.Sleep(d.ctx, wait)
}

// ask asks for what is missing.
func (d *download) ask() error {
	if d.offset > 0 && d.validator == "" {
		return errAnew
	}
	resp, err := fetch(d.ctx, d.client, d.link, part{d.offset, d.validator})
	if errors.Is(err, errEnded) && (d.total < 0 || d.total == d.offset) {
		d.total, d.body, d.broke = d.offset, http.NoBody, nil
		return nil
	}
	if errors.Is(err, errEnded) {
		return errAnew // It is shorter than it was.
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

// accept takes an answer for the rest of the file, or says what it is instead.
func (d *download) accept(resp *http.Response) error {
	if d.offset == 0 {
		d.total, d.validator = resp.ContentLength, validatorOf(resp.Header)
		return d.fits()
	}
	r, ok := partOf(resp)
	switch {
	case !ok, r.First != d.offset:
		return errAnew
	case r.Size >= 0 && d.total >= 0 && r.Size != d.total:
		return errAnew
	case resp.Header.Get("ETag") != "" && validatorOf(resp.Header) != d.validator && d.validator[0] == '"':
		return errAnew // A server that does not heed If-Range.
	}
	if d.total < 0 {
		d.total = r.Size // The first answer did not say; without it, any clean end would be taken for the file's.
	}
	return d.fits()
}

// fits judges the size of the file, as far as it is known.
func (d *download) fits() error {
	if d.total > d.limit {
		return fmt.Errorf("%w: %d bytes, and %d are allowed", ErrTooLarge, d.total, d.limit)
	}
	return nil
}
