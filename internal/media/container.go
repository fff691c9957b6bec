package media

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/abema/go-mp4"
)

// Container is what the container of a video says about it.
type Container struct {
	ContentType string        // "video/mp4" or "video/quicktime".
	Codec       string        // Of the first video track: "h264", "hevc", "av1" and so on, else the four characters of its sample entry.
	Duration    time.Duration // Of the first video track; 0 where the container does not say.
	Width       int           // In pixels, as coded: a display may turn or stretch the picture.
	Height      int
}

// Bounds of what is believed of a container. Real ones stay far below.
const (
	maxBoxes         = 10_000
	maxBoxDepth      = 8
	maxBoxPayload    = 1 << 20
	maxVideoDuration = 1000 * time.Hour
)

// Inspect reads the container of the MP4 or QuickTime file in the first size bytes of r, and refuses one that is not
// whole: the boxes must fill the file to its end and hold a video track with frames. The frames themselves it leaves alone.
//
// Whatever the bytes are, it visits at most 10,000 boxes, reads in blocks of 32 KiB, holds at most about a megabyte, and does
// not panic. The error is ErrNotVideo, with what is wrong, when the file can't be used, or else what r answered.
func Inspect(r io.ReaderAt, size int64) (c Container, err error) {
	blocks := &blockReader{r: r, size: size}
	defer func() {
		if p := recover(); p != nil { // The library is made for files that are well formed.
			c, err = Container{}, notVideo("the container can't be read: %v", p)
		}
		if blocks.err != nil { // What the file seemed to be is the fault of the reader.
			c, err = Container{}, fmt.Errorf("read the container: %w", blocks.err)
		}
	}()
	in := &inspector{r: io.NewSectionReader(blocks, 0, size), left: maxBoxes}
	return in.inspect(size)
}

func notVideo(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotVideo}, args...)...)
}

// inspector reads the boxes of one file.
type inspector struct {
	r     *io.SectionReader
	left  int               // How many more boxes are read.
	depth int               // How many boxes the present one is in.
	video *track            // The first video track.
	media int64             // The bytes of media data.
	ticks uint64            // Where the last fragment of the video track ends, in its time scale.
	parts bool              // Whether the video track has fragments.
	steps map[uint32]uint32 // The duration of a frame by track, for fragments that don't say.
}

func (in *inspector) inspect(size int64) (Container, error) {
	head := make([]byte, sniffBytes)
	n, err := in.r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Container{}, err
	}
	contentType, ok := sniff(head[:n])
	if !ok {
		return Container{}, notVideo("it does not begin like an MP4 or QuickTime file")
	}
	if err := in.boxes(0, size, in.topLevel); err != nil {
		return Container{}, err
	}
	switch v := in.video; {
	case v == nil:
		return Container{}, notVideo("it has no video track")
	case v.samples == 0 && !in.parts, in.media == 0:
		return Container{}, notVideo("its video track has no frames")
	case v.width == 0 || v.height == 0:
		return Container{}, notVideo("its picture has no size")
	}
	duration, err := in.duration()
	if err != nil {
		return Container{}, err
	}
	return Container{
		ContentType: contentType, Codec: in.video.codec, Duration: duration, Width: in.video.width, Height: in.video.height,
	}, nil
}

// duration is that of the video track, which in a fragmented file is the end of its last fragment.
func (in *inspector) duration() (time.Duration, error) {
	ticks := max(in.video.duration, in.ticks)
	if in.video.timescale == 0 {
		return 0, notVideo("its video track has no time scale")
	}
	seconds := float64(ticks) / float64(in.video.timescale)
	if seconds > maxVideoDuration.Seconds() {
		return 0, notVideo("its duration of %.0f s is not credible", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond), nil
}

func (in *inspector) topLevel(b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "moov":
		return in.children(b, in.movie)
	case "moof":
		return in.children(b, in.fragment)
	case "mdat":
		in.media += payloadSize(b)
	}
	return nil
}

func (in *inspector) movie(b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "trak":
		t := &track{}
		if err := in.children(b, func(b *mp4.BoxInfo) error { return in.track(t, b) }); err != nil {
			return err
		}
		if t.handler == "vide" && in.video == nil {
			in.video = t
		}
	case "mvex":
		return in.children(b, in.defaults)
	}
	return nil
}

// children reads the boxes inside one.
func (in *inspector) children(b *mp4.BoxInfo, f func(*mp4.BoxInfo) error) error {
	if in.depth == maxBoxDepth {
		return notVideo("its boxes are nested too deep")
	}
	in.depth++
	defer func() { in.depth-- }()
	begin := int64(b.Offset + b.HeaderSize) //nolint:gosec // Inside the file, see boxes.
	return in.boxes(begin, begin+payloadSize(b), f)
}

// boxes calls f with each of the boxes that fill the bytes from one offset to another. A rest that is too short to be a box
// ends it: QuickTime ends lists so.
func (in *inspector) boxes(from, to int64, f func(*mp4.BoxInfo) error) error {
	for to-from >= mp4.SmallHeaderSize {
		if in.left--; in.left < 0 {
			return notVideo("it has more than %d boxes", maxBoxes)
		}
		if _, err := in.r.Seek(from, io.SeekStart); err != nil {
			return err
		}
		b, err := mp4.ReadBoxInfo(in.r)
		if err != nil {
			return notVideo("the box at byte %d can't be read: %v", from, err)
		}
		if b.Size < b.HeaderSize || b.Size > uint64(to-from) { //nolint:gosec // to is above from.
			return notVideo("the box %q at byte %d is %d bytes long where %d are left", b.Type, from, b.Size, to-from)
		}
		if err := f(b); err != nil {
			return err
		}
		from += int64(b.Size) //nolint:gosec // Inside the file.
	}
	return nil
}

func payloadSize(b *mp4.BoxInfo) int64 {
	return int64(b.Size - b.HeaderSize) //nolint:gosec // Inside the file, see boxes.
}
