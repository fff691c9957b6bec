package e2etest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/source"
)

// DistinctClip returns a valid video that no other call returns.
func DistinctClip(text string) []byte {
	clip := sim.TinyClip()
	clip = binary.BigEndian.AppendUint32(clip, uint32(8+len(text)))
	return append(append(clip, "free"...), text...)
}

// ClipServer calls a handler, and serves a good clip unless that has answered.
func ClipServer(t *testing.T, first http.HandlerFunc) *httptest.Server {
	t.Helper()
	clip := sim.TinyClip()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answered := &answeredWriter{ResponseWriter: w}
		if first(answered, r); !answered.answered {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(clip)))
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// answeredWriter records whether an answer was started.
type answeredWriter struct {
	http.ResponseWriter
	answered bool
}

func (w *answeredWriter) WriteHeader(status int) {
	w.answered = true
	w.ResponseWriter.WriteHeader(status)
}

// Uploaded uploads a unique clip and returns the id of its source.
func (ts *Service) Uploaded(t *testing.T) string {
	t.Helper()
	clip := DistinctClip(t.Name())
	resp, err := ts.Send(t, ts.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}, clip)
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetSource().GetId()
}

// Send uploads a file in one call and returns the response.
func (ts *Service) Send(t *testing.T, token string, h *refractv1.UploadSourceHeader, content []byte) (*refractv1.UploadSourceResponse, error) {
	t.Helper()
	return UploadTo(As(t.Context(), token), ts.Tasks, h, content)
}

// UploadTo uploads a source in messages of at most 64 KiB.
func UploadTo(ctx context.Context, tasks refractv1.TaskServiceClient, h *refractv1.UploadSourceHeader, content []byte) (*refractv1.UploadSourceResponse, error) {
	stream, err := tasks.UploadSource(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Header{Header: h}})
	for chunk := range BytesOf(content, 64<<10) {
		if err == nil {
			err = stream.Send(&refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: chunk}})
		}
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF means that the service has answered already.
		return nil, err
	}
	return stream.CloseAndRecv()
}

// BytesOf divides bytes into pieces of at most n.
func BytesOf(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			piece := b[:min(n, len(b))]
			if b = b[len(piece):]; !yield(piece) {
				return
			}
		}
	}
}

// BySource makes an uploaded source that of a task.
func BySource(id string) func(*refractv1.SubmitTaskRequest) {
	return func(r *refractv1.SubmitTaskRequest) {
		r.Source = &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_SourceId{SourceId: id}}
	}
}

// Fetching makes the provider fetch its sources and return them as results. It makes the service probe sources, and
// give up soon.
func Fetching(f *server.Config, sc *SimConfig) {
	EveryProvider(f, sc)
	sc.Source, sc.Transform = sim.SourceFetch, sim.TransformNone
	f.Probe = "on"
	f.Tuning.Sources = source.Timing{Backoff: 20 * time.Millisecond, GiveUp: 200 * time.Millisecond}
}

// ByURI makes what a URI leads to the source of a task.
func ByURI(uri string) func(*refractv1.SubmitTaskRequest) {
	return func(r *refractv1.SubmitTaskRequest) {
		r.Source = &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: uri}}
	}
}
