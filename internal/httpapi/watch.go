package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// watchHandler serves WatchTask and WatchTasks. It replaces the gateway's handler for streams, which answers an error before
// the first message in another shape than other errors and without Retry-After, has no event names, and can't signal a
// browser that a stream is over.
type watchHandler struct {
	mux   *runtime.ServeMux
	tasks refractv1.TaskServiceClient
	refuser
}

// lastEventID is the header with which an EventSource resumes. A browser repeats the URL of its first request, so the header
// takes precedence over parameters.
const lastEventID = "Last-Event-ID"

// task serves WatchTask.
func (h *watchHandler) task(w http.ResponseWriter, r *http.Request, params map[string]string) {
	req := &refractv1.WatchTaskRequest{}
	if !h.populate(w, r, req) {
		return
	}
	req.TaskId = params["task_id"]
	if resumed := r.Header.Get(lastEventID); resumed != "" {
		revision, err := strconv.ParseInt(resumed, 10, 64)
		if err != nil || revision < 0 {
			h.invalid(w, "after_revision", "Last-Event-ID is not the id of an event of this stream")
			return
		}
		req.AfterRevision = &revision
	}
	h.serve(w, r, refractv1.TaskService_WatchTask_FullMethodName, func(ctx context.Context) (grpc.ClientStream, updates, error) {
		stream, err := h.tasks.WatchTask(ctx, req)
		return stream, func() (update, error) {
			m, err := stream.Recv()
			if err != nil {
				return update{}, err
			}
			return taskUpdate(m)
		}, err
	})
}

// all serves WatchTasks.
func (h *watchHandler) all(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	req := &refractv1.WatchTasksRequest{}
	if !h.populate(w, r, req) {
		return
	}
	if resumed := r.Header.Get(lastEventID); resumed != "" {
		req.ResumeToken = resumed
	}
	h.serve(w, r, refractv1.TaskService_WatchTasks_FullMethodName, func(ctx context.Context) (grpc.ClientStream, updates, error) {
		stream, err := h.tasks.WatchTasks(ctx, req)
		return stream, func() (update, error) {
			m, err := stream.Recv()
			return tasksUpdate(m), err
		}, err
	})
}

// populate reads the parameters of a request. When it returns false it has sent the answer.
func (h *watchHandler) populate(w http.ResponseWriter, r *http.Request, req proto.Message) bool {
	if err := runtime.PopulateQueryParameters(req, r.URL.Query(), utilities.NewDoubleArray(nil)); err != nil {
		h.invalid(w, "", withoutProtoPrefix(err.Error()))
		return false
	}
	return true
}

// updates returns the next update of a gRPC stream.
type updates func() (update, error)

// serve sends each message as one frame. It sends the header as soon as the server has accepted the watch: a client knows at
// once that the watch has begun, and a refused watch still gets its HTTP status.
func (h *watchHandler) serve(w http.ResponseWriter, r *http.Request, method string, open func(context.Context) (grpc.ClientStream, updates, error)) {
	ctx, cancel := context.WithCancel(r.Context()) // Ends the stream when the client is gone or does not read.
	defer cancel()
	ctx, err := runtime.AnnotateContext(ctx, h.mux, r, method)
	if err != nil {
		h.fail(r.Context(), w, err)
		return
	}
	stream, next, refused := open(ctx)
	writer, err := newStallTimeoutWriter(w)
	if err != nil {
		h.fail(r.Context(), w, err)
		return
	}
	out := &frameWriter{writer: writer, framing: framingOf(r)}
	if refused != nil {
		h.failStream(ctx, out, refused)
		return
	}
	header, _ := stream.Header() // The error comes with the first message.
	forwardHeaders(w, header)
	if len(header.Get(watchingKey)) > 0 && out.begin(statusServed) != nil {
		return
	}
	if isHead(r) && out.begun {
		return
	}
	h.relay(ctx, out, next, r)
}

// watchingKey is the metadata by which the server accepts a watch before the first message.
const watchingKey = "x-watching"

// failStream answers a watch that failed before it began. An EventSource never reconnects after a status other than 200. So
// it gets 200 and the error as the only event when it may succeed later.
func (h *watchHandler) failStream(ctx context.Context, out *frameWriter, err error) {
	st := h.publicStatus(ctx, err)
	if out.framing.reconnects() && isTransient(st.Code()) {
		_ = out.send(out.framing.failure(st))
		return
	}
	h.write(out.writer, st)
}

func (h *watchHandler) relay(ctx context.Context, out *frameWriter, next updates, r *http.Request) {
	for {
		u, err := next()
		switch {
		case errors.Is(err, io.EOF):
			out.end(r.Header.Get(lastEventID) != "")
			return
		case err != nil && !out.begun:
			h.failStream(ctx, out, err)
			return
		case err != nil:
			_ = out.send(out.framing.failure(h.publicStatus(ctx, err))) // The stream ends, whether the client has read this or not.
			return
		}
		frame, err := out.framing.message(u)
		if err != nil {
			_ = out.send(out.framing.failure(h.publicStatus(ctx, err)))
			return
		}
		if out.send(frame) != nil || isHead(r) {
			return // The client is gone, or asked for the header only.
		}
	}
}

func taskUpdate(m *refractv1.WatchTaskResponse) (update, error) {
	id := func(revision int64) string { return strconv.FormatInt(revision, 10) }
	switch u := m.GetUpdate().(type) {
	case *refractv1.WatchTaskResponse_Task:
		return update{message: m, id: id(u.Task.GetRevision()), name: "task", body: u.Task}, nil
	case *refractv1.WatchTaskResponse_Event:
		return update{message: m, id: id(u.Event.GetRevision()), name: "event", body: u.Event}, nil
	case *refractv1.WatchTaskResponse_Bookmark:
		return update{message: m, id: id(u.Bookmark.GetRevision()), name: "bookmark", body: u.Bookmark}, nil
	default:
		return update{}, errUnknownUpdate
	}
}

func tasksUpdate(m *refractv1.WatchTasksResponse) update {
	u := update{message: m, id: m.GetResumeToken(), name: "bookmark", body: m}
	if m.GetEvent() != nil {
		u.name = "event"
	}
	return u
}

// frameWriter writes and flushes frames.
type frameWriter struct {
	writer  *stallTimeoutWriter
	framing framing
	begun   bool // Whether the header was sent.
}

// begin sends the header and the first bytes of the framing.
func (f *frameWriter) begin(httpStatus int) error {
	h := f.writer.Header()
	if httpStatus == statusServed {
		h.Set("Content-Type", f.framing.contentType())
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx would hold back events until its buffer is full.
	h.Set("X-Content-Type-Options", "nosniff")
	f.writer.WriteHeader(httpStatus)
	f.begun = true
	if first := f.framing.first(); len(first) > 0 && httpStatus == statusServed {
		if _, err := f.writer.Write(first); err != nil {
			return err
		}
	}
	return f.writer.control.Flush()
}

func (f *frameWriter) send(frame []byte) error {
	if !f.begun {
		if err := f.begin(statusServed); err != nil {
			return err
		}
	}
	if _, err := f.writer.Write(frame); err != nil {
		return err
	}
	return f.writer.control.Flush()
}

// end finishes a stream whose task is terminal. A resumed stream without a message is answered 204: an EventSource
// reconnects after each end, except after that status.
func (f *frameWriter) end(resumed bool) {
	switch {
	case f.begun:
	case resumed:
		_ = f.begin(statusNoEvents)
	default:
		_ = f.begin(statusServed)
	}
}

// framingOf returns the framing that the client accepts.
func framingOf(r *http.Request) framing {
	if strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Accept"), ",")), "text/event-stream") {
		return serverSentEvents{}
	}
	return jsonLines{}
}

// errUnknownUpdate means that the gRPC server sent an update of a kind that this package does not know.
var errUnknownUpdate = errors.New("unknown update on a watch stream")
