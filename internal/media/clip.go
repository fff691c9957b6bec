package media

import (
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"

	"github.com/refract-video/refract/internal/task"
)

// HeadBytes is how much of a file shows its kind.
const HeadBytes = 512

// unknownType is the content type of files of no known kind.
const unknownType = "application/octet-stream"

// InspectClip returns what a file says of itself, reading as little of it as it can. The error is r's. A file of a known
// container has a flaw unless there is a video track in it. A file of another kind has its content type, which is no video's.
func InspectClip(r io.ReadSeeker, size int64) (task.Clip, error) { return inspectAt(seekerAt{r}, size) }

// inspectAt is InspectClip for a file of which not all may be had: r answers errFarAway for the rest, and what only the rest
// says stays unknown. So does a size below zero.
func inspectAt(r io.ReaderAt, size int64) (task.Clip, error) {
	head := make([]byte, HeadBytes)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errFarAway) {
		return task.Clip{}, err
	}
	head = head[:n]
	clip := task.Clip{SizeBytes: max(size, 0), ContentType: ContentTypeOf(head)}
	if size < 0 {
		size = math.MaxInt64 / 4
	}
	c, err := inspectKind(clip.ContentType, head, r, size)
	switch {
	case errors.Is(err, ErrNotVideo):
		clip.Flaw = err.Error()
		return clip, nil
	case err != nil && !errors.Is(err, errFarAway):
		return clip, err
	}
	clip.Duration, clip.Width, clip.Height = c.Duration, c.Width, c.Height
	return clip, nil
}

// inspectKind reads a container of a known kind. Of other files it says nothing: their content type shows that they are no
// video.
func inspectKind(contentType string, head []byte, r io.ReaderAt, size int64) (Container, error) {
	switch contentType {
	case matroska:
		return inspectMatroska(r, size)
	case avi:
		return inspectAVI(r, size)
	}
	if _, ok := sniff(head); !ok {
		return Container{}, nil
	}
	c, err := inspectBoxes(r, size)
	if errors.Is(err, errFarAway) && c.Width == 0 && claimsNoVideo(head) {
		return Container{}, notVideo("it says that it holds sound or photos, and its tracks are out of reach")
	}
	return c, err
}

// ContentTypeOf returns the kind of a file by its first bytes, of which it needs up to HeadBytes. A video type says which
// container it is, not that there is a video in it.
func ContentTypeOf(head []byte) string {
	if contentType, ok := sniff(head); ok {
		return contentType
	}
	switch {
	case isAVI(head):
		return avi
	case isMatroska(head):
		return matroska
	}
	contentType, _, err := mime.ParseMediaType(http.DetectContentType(head))
	if err != nil || strings.HasPrefix(contentType, "video/") { // It takes beginnings for videos that no player does.
		return unknownType
	}
	return contentType
}

// seekerAt reads anywhere in what can be sought. It is for one goroutine at a time.
type seekerAt struct{ r io.ReadSeeker }

func (s seekerAt) ReadAt(p []byte, offset int64) (int, error) {
	if _, err := s.r.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
