package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/abema/go-mp4"
)

// children reads the boxes inside one.
func (in *inspector) children(b *mp4.BoxInfo, f func(*mp4.BoxInfo) error) error {
	return in.childrenAfter(b, 0, f)
}

// childrenAfter reads the boxes inside one that begins with skip bytes of its own.
func (in *inspector) childrenAfter(b *mp4.BoxInfo, skip int64, f func(*mp4.BoxInfo) error) error {
	if in.depth == maxBoxDepth {
		return notVideo("its boxes are nested too deep")
	}
	in.depth++
	defer func() { in.depth-- }()
	begin := int64(b.Offset + b.HeaderSize) //nolint:gosec // Inside the file, see boxes.
	return in.boxes(begin+skip, begin+payloadSize(b), f)
}

// brokenBox is a box that does not fit in what it is in.
type brokenBox struct {
	kind  string
	depth int
	err   error
}

func (b *brokenBox) Error() string { return b.err.Error() }
func (b *brokenBox) Unwrap() error { return b.err }

// boxes calls f with each of the boxes that fill the bytes from one offset to another. A rest that is too short to be a box
// ends it: QuickTime ends lists so.
func (in *inspector) boxes(from, to int64, f func(*mp4.BoxInfo) error) error {
	for to-from >= mp4.SmallHeaderSize {
		if in.left--; in.left < 0 {
			return notVideo("it has more than %d boxes", maxBoxes)
		}
		head := make([]byte, mp4.SmallHeaderSize)
		if err := in.read(head, from); err != nil {
			return err
		}
		if _, err := in.r.Seek(from, io.SeekStart); err != nil {
			return err
		}
		b, err := mp4.ReadBoxInfo(in.r)
		if errors.Is(err, errFarAway) {
			return err
		}
		if err != nil {
			return &brokenBox{string(head[4:]), in.depth, notVideo("the box at byte %d can't be read: %v", from, err)}
		}
		if b.Size < b.HeaderSize || b.Size > uint64(to-from) { //nolint:gosec // to is above from.
			return &brokenBox{string(head[4:]), in.depth, notVideo("the box %q at byte %d is %d bytes long where %d are left",
				b.Type, from, b.Size, to-from)}
		}
		if err := f(b); err != nil {
			return err
		}
		from += int64(b.Size) //nolint:gosec // Inside the file.
	}
	return nil
}

// read fills p with the bytes at an offset.
func (in *inspector) read(p []byte, at int64) error {
	_, err := in.r.ReadAt(p, at)
	if err == io.EOF {
		err = nil // They end with the file.
	}
	return err
}

func payloadSize(b *mp4.BoxInfo) int64 {
	return int64(b.Size - b.HeaderSize) //nolint:gosec // Inside the file, see boxes.
}

// unmarshal reads a small box whole.
func (in *inspector) unmarshal(b *mp4.BoxInfo, box mp4.IBox) error {
	p, err := in.head(b, payloadSize(b))
	if err != nil {
		return err
	}
	return unmarshal(b, p, box)
}

// head reads the first n bytes of a box.
func (in *inspector) head(b *mp4.BoxInfo, n int64) ([]byte, error) {
	if n > payloadSize(b) || n > maxBoxPayload {
		return nil, notVideo("the box %q at byte %d has an unusable size of %d bytes", b.Type, b.Offset, b.Size)
	}
	p := make([]byte, n)
	return p, in.read(p, int64(b.Offset+b.HeaderSize)) //nolint:gosec // Inside the file, see boxes.
}

// table is a list of equal entries at the end of a box, such as the sizes of frames.
type table struct {
	begin int64 // Where the first entry is.
	width int64 // Of an entry in bytes.
	count int64
}

// table returns the entries after the first skip bytes of a box, whose last four say how many there are.
func (in *inspector) table(b *mp4.BoxInfo, skip, width int64) (table, error) {
	head, err := in.head(b, skip)
	if err != nil {
		return table{}, err
	}
	t := table{int64(b.Offset+b.HeaderSize) + skip, width, int64(binary.BigEndian.Uint32(head[skip-4:]))} //nolint:gosec // Inside the file, see boxes.
	if t.count > (payloadSize(b)-skip)/width {
		return table{}, notVideo("the box %q at byte %d is shorter than it says", b.Type, b.Offset)
	}
	return t, nil
}

// last reads the last n entries, or as many as there are and as fit in a block.
func (in *inspector) last(t table, n int64) ([]byte, error) {
	n = min(n, t.count, blockSize/t.width)
	p := make([]byte, n*t.width)
	return p, in.read(p, t.begin+(t.count-n)*t.width)
}

func unmarshal(b *mp4.BoxInfo, p []byte, box mp4.IBox) error {
	if _, err := mp4.Unmarshal(bytes.NewReader(p), uint64(len(p)), box, mp4.Context{}); err != nil {
		return notVideo("the box %q at byte %d can't be read: %v", b.Type, b.Offset, err)
	}
	return nil
}
