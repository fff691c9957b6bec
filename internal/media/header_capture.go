package media

import (
	"encoding/binary"
	"io"
	"sort"
)

// maxCaptured bounds what an mp4HeaderCapture keeps. The tables of a video of ten seconds take some ten kilobytes.
const maxCaptured = 8 << 20

// mp4HeaderCapture keeps what Inspect reads of an MP4 or QuickTime file, so that a download can be inspected before its last
// byte is passed on: all boxes except those of frames and of padding, and the headers of these. The file is written to it; after
// that it is an io.ReaderAt, which has zeros in place of the rest.
type mp4HeaderCapture struct {
	kept   []extent
	size   int   // How much is kept.
	offset int64 // Where the next byte belongs.
	head   []byte
	left   uint64 // How much of the current box is still to come.
	keep   bool   // Whether its payload is kept.
	blind  bool   // Whether nothing more is kept: the current box has no end or is broken, or there is too much.
}

// extent is a piece of the file.
type extent struct {
	at   int64
	data []byte
}

// Write implements io.Writer. It never fails.
func (c *mp4HeaderCapture) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		var took int
		switch {
		case c.blind:
			took = len(p)
		case c.left == 0:
			took = c.header(p)
		default:
			took = int(min(uint64(len(p)), c.left)) //nolint:gosec // At most len(p).
			if c.keep {
				c.add(c.offset, p[:took])
			}
			c.left -= uint64(took)
		}
		p = p[took:]
		c.offset += int64(took)
	}
	return n, nil
}

// header collects the header of a box and returns how many bytes it took.
func (c *mp4HeaderCapture) header(p []byte) int {
	want := 8
	if len(c.head) >= 8 {
		want = 16
	}
	took := min(len(p), want-len(c.head))
	c.head = append(c.head, p[:took]...)
	if len(c.head) < want {
		return took
	}
	size := uint64(binary.BigEndian.Uint32(c.head))
	if size == 1 {
		if want == 8 {
			return took // The size follows, in eight more bytes.
		}
		size = binary.BigEndian.Uint64(c.head[8:])
	}
	c.add(c.offset+int64(took)-int64(want), c.head)
	switch kind := string(c.head[4:8]); {
	case size >= uint64(want):
		c.left, c.keep = size-uint64(want), kind != "mdat" && kind != "free" && kind != "skip" && kind != "wide"
	default: // It reaches to the end of the file, or is broken.
		c.blind = true
	}
	c.head = c.head[:0]
	return took
}

func (c *mp4HeaderCapture) add(at int64, data []byte) {
	if c.size += len(data); c.size > maxCaptured || len(c.kept) > maxBoxes {
		c.blind = true
		return
	}
	if last := len(c.kept) - 1; last >= 0 && c.kept[last].at+int64(len(c.kept[last].data)) == at {
		c.kept[last].data = append(c.kept[last].data, data...)
		return
	}
	c.kept = append(c.kept, extent{at, append([]byte(nil), data...)})
}

// ReadAt implements io.ReaderAt.
func (c *mp4HeaderCapture) ReadAt(p []byte, off int64) (int, error) {
	n := int(max(0, min(int64(len(p)), c.offset-off)))
	clear(p[:n])
	end := off + int64(n)
	first := sort.Search(len(c.kept), func(i int) bool { return c.kept[i].at+int64(len(c.kept[i].data)) > off })
	for _, e := range c.kept[first:] {
		if e.at >= end {
			break
		}
		if e.at >= off {
			copy(p[e.at-off:n], e.data)
		} else {
			copy(p[:n], e.data[off-e.at:])
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
