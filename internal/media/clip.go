package media

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/refract-video/refract/internal/task"
)

// HeadBytes is how much of a file tells its kind.
const HeadBytes = 512

// unknownType is the content type of files of no known kind.
const unknownType = "application/octet-stream"

// InspectClip tells what a file says of itself, reading as little of it as it can. The error is r's. A file that is
// no MP4 or QuickTime file has nothing but its size and content type.
func InspectClip(r io.ReadSeeker, size int64) (task.Clip, error) { return inspectAt(seekerAt{r}, size) }

func inspectAt(r io.ReaderAt, size int64) (task.Clip, error) {
	head := make([]byte, HeadBytes)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return task.Clip{}, err
	}
	clip := task.Clip{SizeBytes: size, ContentType: ContentTypeOf(head[:n])}
	if _, known := sniff(head[:n]); !known {
		return clip, nil
	}
	c, err := Inspect(r, size)
	if errors.Is(err, ErrNotVideo) {
		clip.Flaw = err.Error()
		return clip, nil
	}
	if err != nil {
		return clip, err
	}
	clip.Duration, clip.Width, clip.Height = c.Duration, c.Width, c.Height
	return clip, nil
}

// ContentTypeOf tells the kind of a file from its first bytes, of which it needs up to HeadBytes. Beside the containers that results come in it knows those
// that people have.
func ContentTypeOf(head []byte) string {
	if contentType, ok := sniff(head); ok {
		return contentType
	}
	switch {
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "AVI ":
		return "video/x-msvideo"
	case bytes.HasPrefix(head, []byte{0x1a, 0x45, 0xdf, 0xa3}):
		return "video/x-matroska" // WebM too.
	}
	contentType, _, err := mime.ParseMediaType(http.DetectContentType(head))
	if err != nil {
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
