package media

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/abema/go-mp4"
)

// Container describes a video by the metadata of its container.
type Container struct {
	ContentType string        // "video/mp4" or "video/quicktime"; of a source also the type of another known container.
	Codec       string        // Of the video track: "h264", "hevc", "av1" and so on, else the four characters of its sample entry.
	Duration    time.Duration // The playing time of the longest track, after its edit list; 0 if the container has none.
	Width       int           // In pixels, after rotation and scaling.
	Height      int
}

// Limits on a container. Real ones stay far below.
const (
	maxBoxes         = 10_000
	maxBoxDepth      = 8
	maxBoxPayload    = 1 << 20
	maxVideoDuration = 1000 * time.Hour
)

// Inspect reads the container of the MP4 or QuickTime file in the first size bytes of r, and refuses an incomplete file. A
// complete file has a video track with frames, and all its boxes and frames lie within the file. Like players, Inspect
// ignores bytes after a complete file that are not a box of it, such as tags or data that a camera appends. It does not
// read the frames.
//
// For any input, it visits at most 10,000 boxes, reads in blocks of 32 KiB, holds at most some megabytes, and does not
// panic. It returns ErrNotVideo, with the reason, if the file can't be used, and otherwise the error of r.
func Inspect(r io.ReaderAt, size int64) (Container, error) {
	c, err := inspectBoxes(r, size)
	if err != nil {
		return Container{}, err
	}
	return c, nil
}

// inspectBoxes is Inspect for a remote file. With errFarAway it also returns the metadata that it has read so far. If it
// has read the tracks and none is a video, it returns ErrNotVideo instead.
func inspectBoxes(r io.ReaderAt, size int64) (c Container, err error) {
	blocks := &blockReader{r: r, size: size}
	defer func() {
		if p := recover(); p != nil { // The library expects well-formed files, and may panic on others.
			c, err = Container{}, notVideo("the container can't be read: %v", p)
		}
		if blocks.err != nil && !errors.Is(blocks.err, errFarAway) { // The content is unknown if a read fails.
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
	left    int    // How many more boxes may be read.
	depth   int    // The nesting depth of the current box.
	movie   *movie // Nil before its box was read.
	media   int64  // The bytes of media data.
	indexed span   // The part of the file that the segment index covers.
	items   bool   // Whether the file has items, such as photos, with or without a movie.
}

// begin reads the beginning of the file and returns its content type.
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

// walk reads all boxes. It ends at bytes after a complete file that are not a box of it: tags, padding, or data that a
// camera adds.
func (in *inspector) walk() error {
	err := in.boxes(0, in.size, in.topLevel)
	if odd, ok := errors.AsType[*brokenBox](err); ok && odd.depth == 0 && !fileBoxes[odd.kind] && in.whole() {
		return nil
	}
	return err
}

// fileBoxes are the boxes that a file consists of (ISO/IEC 14496-12, and QuickTime). A broken one makes the file invalid:
// it does not count as bytes after the file.
var fileBoxes = map[string]bool{
	"ftyp": true, "moov": true, "moof": true, "mdat": true, "free": true, "skip": true, "wide": true, "pnot": true,
	"uuid": true, "udta": true, "meta": true, "styp": true, "sidx": true, "ssix": true, "prft": true, "emsg": true,
	"mfra": true, "pdin": true, "imda": true,
}

// whole reports whether the boxes that were read so far make a complete file.
func (in *inspector) whole() bool {
	if in.movie == nil {
		return false
	}
	_, err := in.container(true)
	return err == nil
}

// container returns the metadata of the boxes, or the reason why they are not a video. complete is false if only a part of
// the file was read.
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

// noVideo returns an error that names what the file contains instead of a video.
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
