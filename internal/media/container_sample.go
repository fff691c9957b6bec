package media

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/abema/go-mp4"
)

// sampleTable reads a box that says what and where the frames are.
func (in *inspector) sampleTable(t *track, b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "stsd":
		return in.sampleEntry(t, b)
	case "ctts":
		if payloadSize(b) < 16 {
			return nil
		}
		head, err := in.head(b, 16) // Version and flags, how many entries, and of the first the frames and their delay.
		if err == nil {
			t.delay = int32(binary.BigEndian.Uint32(head[12:])) //nolint:gosec // Signed in the file.
		}
		return err
	case "stsc":
		runs, err := in.table(b, 8, 12)
		if err != nil {
			return err
		}
		p, err := in.last(runs, 1)
		if len(p) > 0 {
			t.perChunk = binary.BigEndian.Uint32(p[4:])
		}
		return err
	case "stsz":
		return in.sampleSizes(t, b)
	case "stz2":
		head, err := in.head(b, 12) // Version and flags, the width of the sizes, how many there are.
		if err == nil {
			t.frames = uint64(binary.BigEndian.Uint32(head[8:]))
		}
		return err
	case "stco", "co64":
		return in.chunkOffsets(t, b)
	}
	return nil
}

// sampleSizes counts the frames, and adds up the sizes of those in the last chunk.
func (in *inspector) sampleSizes(t *track, b *mp4.BoxInfo) error {
	head, err := in.head(b, 12) // Version and flags, the size of all frames or 0, how many there are.
	if err != nil {
		return err
	}
	size, count := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	t.frames = uint64(count)
	if size > 0 {
		t.lastChunk = int64(size) * int64(min(t.perChunk, count, 1<<30)) // It fits, with an offset too.
		return nil
	}
	sizes, err := in.table(b, 12, 4)
	if err != nil {
		return err
	}
	p, err := in.last(sizes, int64(t.perChunk))
	for ; len(p) > 0; p = p[4:] {
		t.lastChunk += int64(binary.BigEndian.Uint32(p))
	}
	return err
}

// chunkOffsets notes where the frames end. Of a long table it reads the end.
func (in *inspector) chunkOffsets(t *track, b *mp4.BoxInfo) error {
	width := int64(4)
	if b.Type.String() == "co64" {
		width = 8
	}
	chunks, err := in.table(b, 8, width)
	if err != nil {
		return err
	}
	p, err := in.last(chunks, chunks.count)
	for ; len(p) > 0; p = p[width:] {
		at := int64(binary.BigEndian.Uint32(p))
		if width == 8 {
			at = int64(min(binary.BigEndian.Uint64(p), 1<<61))
		}
		size := int64(1) // Of chunks before the last it does not matter: they lie before it, or not in the file at all.
		if int64(len(p)) == width {
			size = max(t.lastChunk, size)
		}
		t.dataEnd = max(t.dataEnd, at+size)
	}
	return err
}

// sampleEntry reads the first sample entry: the codec and the size of the picture.
func (in *inspector) sampleEntry(t *track, b *mp4.BoxInfo) error {
	if t.codec != "" || t.handler != "" && t.handler != "vide" {
		return nil // Sound and text have entries of other shapes.
	}
	const head = 8 // Version and flags, and how many entries there are.
	return in.childrenAfter(b, head, func(b *mp4.BoxInfo) error {
		const fixed = 78 // What all entries of video tracks begin with (ISO/IEC 14496-12, 12.1.3).
		if t.codec != "" || payloadSize(b) < fixed {
			return nil
		}
		p, err := in.head(b, fixed)
		if err != nil {
			return err
		}
		entry := mp4.VisualSampleEntry{SampleEntry: mp4.SampleEntry{AnyTypeBox: mp4.AnyTypeBox{Type: mp4.BoxTypeAvc1()}}}
		if err := unmarshal(b, p, &entry); err != nil {
			return err
		}
		t.codec, t.width, t.height = codecName(b.Type.String()), int(entry.Width), int(entry.Height)
		err = in.childrenAfter(b, fixed, func(b *mp4.BoxInfo) error { return in.pictureBox(t, b) })
		if errors.Is(err, ErrNotVideo) {
			return nil // QuickTime may have a table of colors before these boxes, and something else after them.
		}
		return err
	})
}

// pictureBox reads a box that says more about the picture.
func (in *inspector) pictureBox(t *track, b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "pasp":
		p, err := in.head(b, 8)
		if err == nil {
			t.pixelWidth, t.pixelHeight = binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
		}
		return err
	case "clap":
		p, err := in.head(b, 16) // Width and height, each as a fraction. Where the part lies does not matter.
		if err != nil {
			return err
		}
		width := float64(binary.BigEndian.Uint32(p)) / float64(binary.BigEndian.Uint32(p[4:]))
		height := float64(binary.BigEndian.Uint32(p[8:])) / float64(binary.BigEndian.Uint32(p[12:]))
		if width >= 1 && height >= 1 && width <= float64(t.width) && height <= float64(t.height) {
			t.width, t.height, t.cut = int(math.Round(width)), int(math.Round(height)), true
		}
	case "esds":
		p, err := in.head(b, min(payloadSize(b), 64))
		if err != nil {
			return err
		}
		if image, ok := imageObjects[objectType(p)]; ok {
			t.codec = image
		}
	}
	return nil
}

// imageObjects are the object types of MPEG-4 that are pictures (mp4ra.org).
var imageObjects = map[byte]string{0x6c: "mjpeg", 0x6d: "png", 0x6e: "jpeg2000"}

// objectType returns what an elementary stream descriptor says that the stream consists of, or 0 (ISO/IEC 14496-1, 7.2.6.5).
func objectType(p []byte) byte {
	const stream, decoder = 3, 4
	if len(p) < 4 {
		return 0
	}
	p, ok := descriptor(p[4:], stream) // After version and flags.
	if !ok || len(p) < 3 {
		return 0
	}
	flags := p[2]
	p = p[3:]
	if flags&0x80 != 0 { // It depends on another stream.
		p = p[min(2, len(p)):]
	}
	if flags&0x40 != 0 && len(p) > 0 { // A URL, after its length.
		p = p[min(1+int(p[0]), len(p)):]
	}
	if flags&0x20 != 0 { // The stream of its clock.
		p = p[min(2, len(p)):]
	}
	if p, ok = descriptor(p, decoder); !ok || len(p) == 0 {
		return 0
	}
	return p[0]
}

// descriptor returns what is in a descriptor with a tag, with all that follows.
func descriptor(p []byte, tag byte) ([]byte, bool) {
	if len(p) == 0 || p[0] != tag {
		return nil, false
	}
	p = p[1:]
	for len(p) > 0 { // The size has seven bits a byte, and the highest bit says that another one follows.
		more := p[0]&0x80 != 0
		if p = p[1:]; !more {
			return p, true
		}
	}
	return nil, false
}

// codecName returns what a codec is usually called.
func codecName(sampleEntry string) string {
	switch sampleEntry {
	case "avc1", "avc3":
		return "h264"
	case "hvc1", "hev1":
		return "hevc"
	case "av01":
		return "av1"
	case "vp08":
		return "vp8"
	case "vp09":
		return "vp9"
	case "mp4v":
		return "mpeg4"
	case "apco", "apcs", "apcn", "apch", "ap4h", "ap4x":
		return "prores"
	case "jpeg", "mjpa", "mjpb":
		return "mjpeg"
	case "png ":
		return "png"
	default:
		return sampleEntry // mp4.BoxType escapes what can't be printed.
	}
}
