package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Outputs opens the files of tasks. It may be called concurrently.
type Outputs interface {
	// OpenOutput opens an output of a task that has succeeded; content is read until ctx ends, and closed. The
	// error is fs.ErrNotExist when there is no such file. Whether the caller may see the task was checked before.
	OpenOutput(ctx context.Context, taskID string, index int) (content io.ReadSeekCloser, modTime time.Time, err error)
	// OpenLink opens the output of a signed link. The error is fs.ErrNotExist when the token is wrong or has expired, or its
	// file is no longer kept. A forged token must cost no query.
	OpenLink(ctx context.Context, token string) (*LinkedOutput, error)
}

// LinkedOutput is the open file behind a link.
type LinkedOutput struct {
	TaskID  string
	Output  *refractv1.Output
	Content io.ReadSeekCloser
	ModTime time.Time
}

// downloadHandler serves outputs and uploaded sources as files.
type downloadHandler struct {
	mux     *runtime.ServeMux
	tasks   refractv1.TaskServiceClient
	outputs Outputs
	sources TaskSources
	refuser
}

// serve reads the task with the caller's credentials, which authenticates the caller and describes the file. Then it sends
// the requested part of the file, until the credentials are revoked.
func (h *downloadHandler) serve(w http.ResponseWriter, r *http.Request, params map[string]string) {
	id, index := params["task_id"], params["index"]
	output, err := h.find(w, r, id, index)
	if err != nil {
		h.fail(r.Context(), w, err)
		return
	}
	if output == nil {
		h.refuse(w, noSuchOutput)
		return
	}
	ctx, stop, err := bound(r.Context())
	if err != nil {
		h.fail(r.Context(), w, err)
		return
	}
	defer stop()
	content, modTime, err := h.outputs.OpenOutput(ctx, id, int(output.GetIndex()))
	if errors.Is(err, fs.ErrNotExist) {
		h.refuse(w, outputGone)
		return
	}
	if err != nil {
		h.fail(ctx, w, fmt.Errorf("download output %s of task %s: %w", index, id, err))
		return
	}
	h.send(ctx, w, r, content, modTime, func(header http.Header) { describe(header, id, output) })
}

// bound returns a context that ends when the credentials of the caller are revoked, and a function that releases it.
func bound(ctx context.Context) (context.Context, func(), error) {
	caller := callerOf(ctx)
	if caller == nil {
		return ctx, func() {}, nil
	}
	return caller.Bind(ctx)
}

// serveLink sends the requested part of the file of a signed link. The link needs no other credentials.
func (h *downloadHandler) serveLink(w http.ResponseWriter, r *http.Request, params map[string]string) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	linked, err := h.outputs.OpenLink(r.Context(), params["token"])
	if errors.Is(err, fs.ErrNotExist) {
		h.refuse(w, linkInvalid)
		return
	}
	if err != nil {
		h.fail(r.Context(), w, fmt.Errorf("download by link: %w", err))
		return
	}
	h.send(r.Context(), w, r, linked.Content, linked.ModTime, func(header http.Header) { describe(header, linked.TaskID, linked.Output) })
}

// send sends the requested part of a file until ctx ends, and closes the file. describe sets its headers.
func (h *downloadHandler) send(
	ctx context.Context, w http.ResponseWriter, r *http.Request, content io.ReadSeekCloser, modTime time.Time, describe func(http.Header),
) {
	defer content.Close()
	writer, err := newStallTimeoutWriter(w)
	if err != nil {
		h.fail(ctx, w, err)
		return
	}
	defer context.AfterFunc(ctx, func() { _ = writer.control.SetWriteDeadline(time.Now()) })() // Ends a write that waits for the client.
	describe(w.Header())
	http.ServeContent(&contentWriter{ctx: ctx, stallTimeoutWriter: writer, refuser: h.refuser}, r, "", modTime, content)
	h.logBroken(ctx, content)
}

// logBroken logs why a file could not be read to its end, where the file has the error: http.ServeContent only cuts the answer.
func (f refuser) logBroken(ctx context.Context, content io.Reader) {
	if file, ok := content.(interface{ Err() error }); ok && file.Err() != nil && ctx.Err() == nil {
		f.log.ErrorContext(ctx, "storage failed during a download; the answer is cut", "error", file.Err())
	}
}

// find returns the output of a task, or nil when the task has none of this index.
func (h *downloadHandler) find(w http.ResponseWriter, r *http.Request, id, index string) (*refractv1.Output, error) {
	t, err := h.task(w, r, id)
	if err != nil {
		return nil, err
	}
	outputs := t.GetOutputs()
	i := slices.IndexFunc(outputs, func(o *refractv1.Output) bool { return strconv.Itoa(int(o.GetIndex())) == index })
	if i < 0 {
		return nil, nil
	}
	return outputs[i], nil
}

// task reads a task with the credentials of the caller.
func (h *downloadHandler) task(w http.ResponseWriter, r *http.Request, id string) (*refractv1.Task, error) {
	ctx, err := runtime.AnnotateContext(r.Context(), h.mux, r, refractv1.TaskService_GetTask_FullMethodName)
	if err != nil {
		return nil, err
	}
	var header, trailer metadata.MD // An error has its request id in the trailer.
	resp, err := h.tasks.GetTask(ctx, &refractv1.GetTaskRequest{TaskId: id}, grpc.Header(&header), grpc.Trailer(&trailer))
	forwardHeaders(w, metadata.Join(header, trailer))
	if err != nil {
		return nil, err
	}
	return resp.GetTask(), nil
}

// describe sets the headers of a file. The file never changes, but the right to read it may, so caches must revalidate.
func describe(header http.Header, id string, output *refractv1.Output) {
	extension := ".mp4"
	if output.GetContentType() == "video/quicktime" {
		extension = ".mov"
	}
	name := fmt.Sprintf("%s-%d%s", id, output.GetIndex(), extension)
	header.Set("Content-Type", output.GetContentType())
	header.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": name}))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "private, no-cache")
	if sum := output.GetSha256(); sum != "" {
		header.Set("ETag", `"`+sum+`"`)
	}
}

// contentWriter replaces the error texts of http.ServeContent, which quote errors of the bucket. ServeContent still writes
// its text, but net/http drops what is over the Content-Length.
type contentWriter struct {
	ctx context.Context //nolint:containedctx // The io.Writer interface has no other way to stop.
	*stallTimeoutWriter
	refuser
}

// Write writes unless ctx has ended.
func (c *contentWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.stallTimeoutWriter.Write(p)
}

func (c *contentWriter) WriteHeader(httpStatus int) {
	refused, replaces := refusalOfContent(httpStatus)
	if !replaces {
		c.ResponseWriter.WriteHeader(httpStatus)
		return
	}
	c.Header().Del("Content-Disposition")
	c.refuse(c.stallTimeoutWriter, refused)
}
