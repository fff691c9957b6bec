package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strings"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// TaskSources opens the uploaded sources of tasks. It may be called concurrently.
type TaskSources interface {
	// OpenTaskSource opens the uploaded source of a task, and does not count as a use of the source. The error is fs.ErrNotExist
	// when there is no such file. Whether the caller may see the task was checked before.
	OpenTaskSource(ctx context.Context, taskID string) (*SourceFile, error)
}

// SourceFile is the open file of an uploaded source. Its content is read until the context ends with which it was opened, and closed.
type SourceFile struct {
	ContentType string // As it was found in the file, not as the caller named it.
	SHA256      []byte
	Content     io.ReadSeekCloser
	ModTime     time.Time
}

// serveSource sends the requested part of the uploaded source of a task, until the credentials are revoked. It fetches nothing: the
// source of a task that names a URI is not here.
func (h *downloadHandler) serveSource(w http.ResponseWriter, r *http.Request, params map[string]string) {
	id := params["task_id"]
	t, err := h.task(w, r, id)
	if err != nil {
		h.fail(r.Context(), w, err)
		return
	}
	if t.GetSource().GetSourceId() == "" {
		h.refuse(w, sourceElsewhere)
		return
	}
	ctx, stop, err := bound(r.Context())
	if err != nil {
		h.fail(r.Context(), w, err)
		return
	}
	defer stop()
	source, err := h.sources.OpenTaskSource(ctx, t.GetId())
	if errors.Is(err, fs.ErrNotExist) {
		h.refuse(w, sourceGone)
		return
	}
	if err != nil {
		h.fail(ctx, w, fmt.Errorf("download the source of task %s: %w", id, err))
		return
	}
	h.send(ctx, w, r, source.Content, source.ModTime, func(header http.Header) { describeSource(header, t, source) })
}

// describeSource sets the headers of a source, as describe does for an output.
func describeSource(header http.Header, t *refractv1.Task, source *SourceFile) {
	extension, contentType := ".mp4", source.ContentType
	switch {
	case contentType == "video/quicktime":
		extension = ".mov"
	case !strings.HasPrefix(contentType, "video/"): // A web page that was uploaded must not open under our host name.
		extension, contentType = "", "application/octet-stream"
	}
	header.Set("Content-Type", contentType)
	header.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": t.GetId() + "-source" + extension}))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "private, no-cache")
	header.Set("ETag", `"`+hex.EncodeToString(source.SHA256)+`"`)
}
