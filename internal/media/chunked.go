package media

import (
	"errors"
	"fmt"
	"io"
)

// chunk is a piece of a file that says what it is and how long: an element of Matroska, or a chunk of AVI.
type chunk struct {
	id         uint32
	begin, end int64 // Of what it holds. The end is that of what it is in where it does not say.
}

// chunks reads files that consist of chunks.
type chunks struct {
	r    *blockReader
	left int // How many more chunks are read.
	next func(c *chunks, at, end int64) (chunk, int64, error)
}

// each calls f with each chunk from one offset to another, until f returns errDone. Chunks that can't be read end it too: what
// was found before them counts.
func (c *chunks) each(at, end int64, f func(chunk) error) error {
	for at < end {
		if c.left--; c.left < 0 {
			return notVideo("it has more than %d parts", maxBoxes)
		}
		found, after, err := c.next(c, at, end)
		if err == nil {
			err = f(found)
		}
		if err != nil {
			return err
		}
		at = after
	}
	return nil
}

// errDone means that all that was looked for was found.
var errDone = errors.New("found all")

// bytes reads n bytes at an offset.
func (c *chunks) bytes(at int64, n int64) ([]byte, error) {
	p := make([]byte, n)
	got, err := c.r.ReadAt(p, at)
	switch {
	case int64(got) == n:
		return p, nil
	case err == nil || errors.Is(err, io.EOF):
		return p[:got], notVideo("it ends at byte %d, where more is expected", at+int64(got))
	case errors.Is(err, errFarAway):
		return p[:got], err
	default:
		return p[:got], fmt.Errorf("read the container: %w", err)
	}
}
