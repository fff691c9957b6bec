package sim

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"
)

// misserve answers a download with a wrong body or a wrong length, and reports whether the script wanted that. f is at its
// beginning.
func (l *link) misserve(w http.ResponseWriter, r *http.Request, f io.ReadSeeker) (bool, error) {
	switch {
	case l.script.HalfResult:
		return true, l.serveHalf(w, r, f)
	case l.script.LongLength > 0 && r.Header.Get("Range") == "":
		return true, l.serveLong(w, f)
	case l.script.Endless:
		serveEndless(w, f)
		return true, nil
	default:
		return false, nil
	}
}

func (l *link) serveHalf(w http.ResponseWriter, r *http.Request, f io.ReadSeeker) error {
	size, err := rewind(f)
	if err != nil {
		return err
	}
	half, err := io.ReadAll(io.LimitReader(f, size/2))
	if err != nil {
		return err
	}
	http.ServeContent(w, r, "", l.created, bytes.NewReader(half))
	return nil
}

func (l *link) serveLong(w http.ResponseWriter, f io.ReadSeeker) error {
	size, err := rewind(f)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size+l.script.LongLength, 10))
	w.Header().Set("Last-Modified", l.created.UTC().Format(http.TimeFormat))
	if _, err := io.Copy(w, f); err != nil {
		return err
	}
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // The documented way to close a connection in the middle of a body.
}

// serveEndless sends the file and then zeros, until the client closes the connection.
func serveEndless(w http.ResponseWriter, f io.Reader) {
	_ = http.NewResponseController(w).Flush() // Without a length.
	_, err := io.Copy(w, f)
	for zeros := make([]byte, 64<<10); err == nil; {
		_, err = w.Write(zeros)
	}
}

// rewind returns the size of a file, and sets its offset to 0.
func rewind(f io.Seeker) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return size, err
}

// drip makes a writer that writes a byte at a time.
func drip(w http.ResponseWriter, r *http.Request, pause time.Duration) *badWriter {
	return &badWriter{ResponseWriter: w, req: r, left: -1, piece: 1, pause: pause}
}
