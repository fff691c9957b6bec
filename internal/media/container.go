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
	ContentType string        // "video/mp4" or "video/quicktime"; of sources also that of the other known containers.
	Codec       string        // Of the video track: "h264", "hevc", "av1" and so on, else the four characters of its sample entry.
	Duration    time.Duration // How long a player plays: the longest track, cut as its edit list says. 0 where the container does not say.
	Width       int           // In pixels, as a player shows the picture: turned and stretched.
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
// whole: it must hold a video track with frames, and all its boxes and frames must lie within the file. Bytes that follow a
// whole file and are no box of it, such as tags or what a camera appends, are ignored, as players do. The frames themselves
// it leaves alone.
//
// Whatever the bytes are, it visits at most 10,000 boxes, reads in blocks of 32 KiB, holds at most some megabytes, and does
// not panic. The error is ErrNotVideo, with what is wrong, when the file can't be used, or else what r answered.
func Inspect(r io.ReaderAt, size int64) (Container, error) {
	c, err := inspectBoxes(r, size)
	if err != nil {
		return Container{}, err
	}
	return c, nil
}

// inspectBoxes is Inspect for a file that may be far away: with errFarAway it returns what it has read by then. A file
// whose tracks it has read, and which has no video among them, is ErrNotVideo all the same.
func inspectBoxes(r io.ReaderAt, size int64) (c Container, err error) {
	blocks := &blockReader{r: r, size: size}
	defer func() {
		if p := recover(); p != nil { // The library is made for files that are well formed.
			c, err = Container{}, notVideo("the container can't be read: %v", p)
		}
		if blocks.err != nil && !errors.Is(blocks.err, errFarAway) { // What the file seemed to be is the fault of the reader.
			c, err = Container{}, fmt.Errorf("read the container: %w", blocks.err)
		}
	}()
	in := &inspector{r: io.NewSectionReader(blocks, 0, size), size: size, left: maxBoxes}
	contentType, err := in.begin()
	if err != nil {
		return Container{}, err
	}
	walked := in.walk()
	if blocks.err != nil {
		walked = blocks.err
	}
	switch {
	case errors.Is(walked, errFarAway) && in.movie == nil:
		return Container{ContentType: contentType}, walked
	case walked != nil && !errors.Is(walked, errFarAway):
		return Container{}, walked
	}
	if c, err = in.container(walked == nil); err != nil {
		return Container{}, err
	}
	c.ContentType = contentType
	return c, walked
}

func notVideo(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotVideo}, args...)...)
}

// inspector reads the boxes of one file.
type inspector struct {
	r       *io.SectionReader
	size    int64
	left    int    // How many more boxes are read.
	depth   int    // How many boxes the present one is in.
	movie   *movie // Nil before its box was read.
	media   int64  // The bytes of media data.
	indexed span   // What the index of segments covers.
	items   bool   // Whether the file has items, such as photos, with or without a movie.
}

// begin returns the content type.
func (in *inspector) begin() (string, error) {
	head := make([]byte, sniffBytes)
	n, err := in.r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	contentType, ok := sniff(head[:n])
	if !ok {
		return "", notVideo("it does not begin like an MP4 or QuickTime file")
	}
	return contentType, nil
}

// walk reads all boxes. What follows a whole file and is no box of it ends the walk: tags, padding, or what a camera adds.
func (in *inspector) walk() error {
	err := in.boxes(0, in.size, in.topLevel)
	if odd, ok := errors.AsType[*brokenBox](err); ok && odd.depth == 0 && !fileBoxes[odd.kind] && in.whole() {
		return nil
	}
	return err
}

// fileBoxes are the boxes that a file consists of (ISO/IEC 14496-12, and QuickTime). One of them that is broken is not
// taken for something that follows the file.
var fileBoxes = map[string]bool{
	"ftyp": true, "moov": true, "moof": true, "mdat": true, "free": true, "skip": true, "wide": true, "pnot": true,
	"uuid": true, "udta": true, "meta": true, "styp": true, "sidx": true, "ssix": true, "prft": true, "emsg": true,
	"mfra": true, "pdin": true, "imda": true,
}

// whole reports whether what was read so far is a whole file.
func (in *inspector) whole() bool {
	if in.movie == nil {
		return false
	}
	_, err := in.container(true)
	return err == nil
}

// container returns what the boxes say, or why that is no video. The complete file was read, or else some of it.
func (in *inspector) container(complete bool) (Container, error) {
	if in.movie == nil {
		return Container{}, in.noVideo()
	}
	v := in.movie.video()
	if v == nil {
		return Container{}, in.noVideo()
	}
	if complete && (v.frames == 0 || in.media == 0) {
		return Container{}, notVideo("its video track has no frames")
	}
	width, height := in.movie.shownSize(v)
	if width == 0 || height == 0 {
		return Container{}, notVideo("its picture has no size")
	}
	if end := in.movie.dataEnd(); end > in.size {
		return Container{}, notVideo("it is cut short: its frames end at byte %d of %d", end, in.size)
	}
	duration, err := in.duration(v, complete)
	if err != nil {
		return Container{}, err
	}
	return Container{Codec: v.codec, Duration: duration, Width: width, Height: height}, nil
}

// noVideo says what the file holds instead of a video.
func (in *inspector) noVideo() error {
	switch {
	case in.movie.holds("vide"):
		return notVideo("it has no video track, only still pictures such as a cover")
	case in.items && !in.movie.holds("soun"), in.movie.holds("pict"):
		return notVideo("it has no video track: it is a photo")
	case in.movie.holds("soun"):
		return notVideo("it has no video track, only sound")
	case in.movie.holds("text"), in.movie.holds("sbtl"), in.movie.holds("subt"):
		return notVideo("it has no video track, only text")
	default:
		return notVideo("it has no video track")
	}
}

func (in *inspector) topLevel(b *mp4.BoxInfo) error {
	switch b.Type.String() {
	case "moov":
		if in.movie != nil {
			return nil // Players take the first.
		}
		in.movie = &movie{chapters: map[uint32]bool{}, steps: map[uint32]uint32{}}
		return in.children(b, in.movieBox)
	case "moof":
		return in.children(b, in.fragment)
	case "sidx":
		return in.segmentIndex(b)
	case "meta":
		in.items = true
	case "mdat":
		in.media += payloadSize(b)
	}
	return nil
}
