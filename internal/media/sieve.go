package media

import (
	"encoding/binary"
	"io"
	"sort"
)

// maxSieved bounds what a sieve keeps. The tables of a video of ten seconds take some ten kilobytes.
const maxSieved = 8 << 20

// sieve keeps of an MP4 or QuickTime file that flows through it what Inspect reads, so that a file can be inspected before
// its last byte is handed on, wherever it goes: all boxes but those that hold frames or nothing, and the headers of those.
// It is an io.Writer, and then an io.ReaderAt that shows zeros in the place of the rest.
type sieve struct {
	kept   []extent
	size   int   // How much is kept.
	offset int64 // Where the next byte belongs.
	head   []byte
	left   uint64 // How much of the present box is still to come.
	keep   bool   // Whether its payload is kept.
	blind  bool   // Whether nothing more is kept: the present box is the last or no box, or there is too much.
}

// extent is a piece of the file.
type extent struct {
	at   int64
	data []byte
}

// Write implements io.Writer. It never fails.
func (s *sieve) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		var took int
		switch {
		case s.blind:
			took = len(p)
		case s.left == 0:
			took = s.header(p)
		default:
			took = int(min(uint64(len(p)), s.left)) //nolint:gosec // At most len(p).
			if s.keep {
				s.add(s.offset, p[:took])
			}
			s.left -= uint64(took)
		}
		p = p[took:]
		s.offset += int64(took)
	}
	return n, nil
}

// header collects the header of a box and returns how many bytes it took.
func (s *sieve) header(p []byte) int {
	want := 8
	if len(s.head) >= 8 {
		want = 16
	}
	took := min(len(p), want-len(s.head))
	s.head = append(s.head, p[:took]...)
	if len(s.head) < want {
		return took
	}
	size := uint64(binary.BigEndian.Uint32(s.head))
	if size == 1 {
		if want == 8 {
			return took // The size follows, in eight more bytes.
		}
		size = binary.BigEndian.Uint64(s.head[8:])
	}
	s.add(s.offset+int64(took)-int64(want), s.head)
	switch kind := string(s.head[4:8]); {
	case size >= uint64(want):
		s.left, s.keep = size-uint64(want), kind != "mdat" && kind != "free" && kind != "skip" && kind != "wide"
	default: // It reaches to the end of the file, or is broken.
		s.blind = true
	}
	s.head = s.head[:0]
	return took
}

func (s *sieve) add(at int64, data []byte) {
	if s.size += len(data); s.size > maxSieved || len(s.kept) > maxBoxes {
		s.blind = true
		return
	}
	if last := len(s.kept) - 1; last >= 0 && s.kept[last].at+int64(len(s.kept[last].data)) == at {
		s.kept[last].data = append(s.kept[last].data, data...)
		return
	}
	s.kept = append(s.kept, extent{at, append([]byte(nil), data...)})
}

// ReadAt implements io.ReaderAt.
func (s *sieve) ReadAt(p []byte, off int64) (int, error) {
	n := int(max(0, min(int64(len(p)), s.offset-off)))
	clear(p[:n])
	end := off + int64(n)
	first := sort.Search(len(s.kept), func(i int) bool { return s.kept[i].at+int64(len(s.kept[i].data)) > off })
	for _, e := range s.kept[first:] {
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
