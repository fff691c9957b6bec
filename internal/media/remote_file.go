package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

const (
	// headBytes is how much of a remote file is read at first: all that is needed of most files.
	headBytes = 64 << 10
	// plainBytes is how much is read of one whose host does not support ranges.
	plainBytes = 1 << 20
	// rangeBytes and ranges bound what is read beyond the head.
	rangeBytes = 2<<20 - headBytes
	ranges     = 64
)

// errFarAway means that the bounds do not allow the read.
var errFarAway = errors.New("too much would have to be read")

// remoteFile is an io.ReaderAt of the file at a link. It makes a request for each read beyond the head. It must not be used
// concurrently.
type remoteFile struct {
	ctx    context.Context //nolint:containedctx // io.ReaderAt has no parameter for it.
	client *http.Client
	link   string

	head   []byte
	size   int64 // -1 where the host does not say.
	ranged bool  // Whether the host supports ranges.
	asked  int
	read   int64 // Beyond the head.
}

// open reads the head and learns the size.
func (f *remoteFile) open() error {
	resp, err := f.get(0, headBytes-1)
	if err != nil {
		return err
	}
	head, ranged := partOf(resp)
	switch {
	case resp.StatusCode == http.StatusOK, ranged && head.First == 0:
	case mayTakeTheWhole(resp):
		_ = resp.Body.Close()
		if resp, err = fetch(f.ctx, f.client, f.link, part{}); err != nil {
			return err
		}
		ranged = false
	default:
		_ = resp.Body.Close()
		return statusError(resp)
	}
	defer resp.Body.Close()
	limit := int64(plainBytes)
	f.size = resp.ContentLength
	if ranged {
		limit, f.size, f.ranged = min(head.Last+1, headBytes), head.Size, head.Size > 0
	}
	if f.head, err = io.ReadAll(io.LimitReader(resp.Body, limit)); err != nil {
		return withoutQuotes(err)
	}
	if f.size < 0 && int64(len(f.head)) < limit {
		f.size = int64(len(f.head)) // All that there was.
	}
	return nil
}

// mayTakeTheWhole reports whether a host that gave no range may give the whole file: it refuses ranges, or answers with another
// one. A file that is empty, or that is shorter than what was asked for, has no such range either.
func mayTakeTheWhole(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable, http.StatusBadRequest, http.StatusMethodNotAllowed,
		http.StatusNotImplemented, http.StatusPreconditionFailed:
		return true
	default:
		return false
	}
}

// get requests a range of the file. The host may answer with something else.
func (f *remoteFile) get(from, to int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, f.link, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not a URL", ErrLinkDead) // The cause quotes the link.
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to))
	req.Header.Set("Accept-Encoding", "identity") // Positions are those of the plain bytes.
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, withoutQuotes(err)
	}
	return resp, nil
}

// ReadAt implements io.ReaderAt. The error is errFarAway where the host or the bounds do not allow the read.
func (f *remoteFile) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) <= int64(len(f.head)) {
		return copy(p, f.head[at:]), nil
	}
	if f.size >= 0 && at >= f.size {
		return 0, io.EOF
	}
	want := p
	if f.size >= 0 {
		want = p[:min(int64(len(p)), f.size-at)]
	}
	if at+int64(len(want)) <= int64(len(f.head)) {
		return copy(p, f.head[at:]), io.EOF
	}
	if !f.ranged || f.asked >= ranges || f.read+int64(len(want)) > rangeBytes {
		return copy(p, f.head[min(at, int64(len(f.head))):]), errFarAway
	}
	n, err := f.readRange(want, at)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// readRange reads exactly one range. A host may split it, or stop to support ranges.
func (f *remoteFile) readRange(p []byte, at int64) (int, error) {
	done := 0
	for done < len(p) {
		if f.asked >= ranges {
			return done, errFarAway
		}
		n, err := f.readPart(p[done:], at+int64(done))
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// readPart reads the part of a range that one answer of the host has.
func (f *remoteFile) readPart(p []byte, at int64) (int, error) {
	f.asked++
	end := at + int64(len(p)) - 1
	resp, err := f.get(at, end)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	got, ok := partOf(resp)
	switch {
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable, ok && got.Size >= 0 && got.Size != f.size:
		return 0, errAnswer // The file has changed since its beginning was read.
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusPartialContent && (!ok || got.First != at):
		return 0, errFarAway
	case resp.StatusCode != http.StatusPartialContent:
		return 0, statusError(resp)
	}
	n, err := io.ReadFull(resp.Body, p[:min(got.Last, end)-at+1])
	f.read += int64(n)
	if err != nil {
		return n, withoutQuotes(err)
	}
	return n, nil
}
