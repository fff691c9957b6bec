package media

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/httpfield"
)

// ErrLinkDead means that the link is expired, withdrawn or malformed. A fresh link may help.
var ErrLinkDead = errors.New("the link is dead")

// errAnswer stands for every error that might quote the server.
var errAnswer = errors.New("the answer is not usable HTTP")

// userAgent names Refract: content networks refuse clients without a name.
const userAgent = "refract/1 (+https://github.com/refract-video/refract)"

// part is what a request asks for: the bytes from an offset on, if the validator still names the file.
type part struct {
	offset    int64
	validator string
}

// fetch requests a part of the file at a link; the caller closes the body. The answer is 200 OK, or 206 Partial Content
// where the offset is not 0.
func fetch(ctx context.Context, client *http.Client, link string, p part) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not a URL", ErrLinkDead) // The cause quotes the link.
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if p.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", p.offset))
		req.Header.Set("If-Range", p.validator)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutQuotes(err)
	}
	if err := usable(resp, p); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func usable(resp *http.Response, p part) error {
	switch code := resp.StatusCode; {
	case code == http.StatusPartialContent && p.offset > 0, code == http.StatusOK:
	case code == http.StatusRequestedRangeNotSatisfiable && p.offset > 0:
		// The file has ended, which the server did not know before, or it was replaced.
		named := validatorOf(resp.Header)
		if r, ok := httpfield.ContentRange(resp.Header); ok && r.Size == p.offset && (named == "" || named == p.validator) {
			return errEnded
		}
		return errRestart
	default:
		return statusError(resp)
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return notVideo("the server compresses it, although the request refuses that") // NOTE: never decompressed, because of decompression bombs.
	}
	return nil
}

// StatusError is an HTTP answer without the file.
type StatusError struct {
	Status     int
	RetryAfter time.Duration // How long the server asks to wait; 0 where it does not.
}

// maxRetryAfter bounds how long a fetch waits for a host.
const maxRetryAfter = time.Hour

// Error names the status.
func (e *StatusError) Error() string { return fmt.Sprintf("status %d", e.Status) }

func statusError(resp *http.Response) error {
	err := &StatusError{Status: resp.StatusCode, RetryAfter: min(httpfield.RetryAfter(resp.Header, time.Now()), maxRetryAfter)}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone,
		http.StatusBadRequest: // What Google Cloud Storage answers to an expired signature, and S3 to an expired session.
		return fmt.Errorf("%w: %w", ErrLinkDead, err)
	default:
		return err
	}
}

// validatorOf returns what names this version of a file in an If-Range header, or nothing where the server gives no strong
// name: a weak ETag, or a date so young that the file may have changed since within the same second (RFC 9110, 8.8).
func validatorOf(h http.Header) string {
	if etag := h.Get("ETag"); etag != "" {
		if !strings.HasPrefix(etag, `"`) {
			return ""
		}
		return etag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	if date, err := http.ParseTime(h.Get("Date")); err != nil || date.Sub(modified) < time.Second {
		return ""
	}
	return h.Get("Last-Modified")
}

// partOf returns which part of the file an answer holds. It is false for one that does not say, and for one in several
// parts, which was not asked for.
func partOf(resp *http.Response) (httpfield.Range, bool) {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	r, ok := httpfield.ContentRange(resp.Header)
	return r, ok && r.First >= 0 && resp.StatusCode == http.StatusPartialContent && kind != "multipart/byteranges"
}

// origin is the part of a link that is no secret: scheme and host.
func origin(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return "a malformed link"
	}
	return u.Scheme + "://" + u.Host
}
