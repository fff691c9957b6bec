package httpapi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/httpapi"
)

// shortTimeout is the read and write timeout of a server. It is long enough for a handler to begin.
const shortTimeout = time.Second

// serveWithShortTimeouts serves with short timeouts.
func serveWithShortTimeouts(t *testing.T, r *remote, outputs httpapi.Outputs) site {
	t.Helper()
	text := &logText{}
	h := httpapi.NewInternal(httpapi.InternalConfig{Conn: dial(t, r), Outputs: outputs, Log: text.logger()})
	return serve(t, h, text, func(srv *http.Server) {
		srv.ReadHeaderTimeout, srv.ReadTimeout, srv.WriteTimeout = hung, shortTimeout, shortTimeout
	})
}

// slowRequest sends a request whose body never arrives and returns the answer of the server after its timeout. The timeouts of
// every earlier request have then passed as well.
func (s site) slowRequest(t *testing.T) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("wait for the end of a slow request: %v", err)
	}
	return string(answer)
}

func TestWatch_OutlivesTheServersTimeouts(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	s := serveWithShortTimeouts(t, &remote{watch: func(_ *refractv1.WatchTaskRequest, stream watchStream) error {
		if err := stream.Send(bookmark(1)); err != nil {
			return err
		}
		select {
		case <-goOn:
			return stream.Send(bookmark(2))
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}}, nil)
	watch := s.start(t, http.MethodGet, watchPath, nil)
	defer watch.Body.Close()
	s.slowRequest(t)
	close(goOn)

	got, err := io.ReadAll(watch.Body)
	want := `{"result":{"bookmark":{"revision":"1"}}}` + "\n" + `{"result":{"bookmark":{"revision":"2"}}}` + "\n"
	if err != nil || string(got) != want {
		t.Errorf("the watch gave %q, %v, want %q", got, err, want)
	}
}

func TestDownload_OutlivesTheServersTimeouts(t *testing.T) {
	t.Parallel()
	const size = 32 << 20 // More than the sockets hold, so the server is still writing when the timeouts are over.
	dir := t.TempDir()
	file := filepath.Join(dir, taskID, "0")
	if err := os.Mkdir(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveWithShortTimeouts(t, &remote{get: func(context.Context, *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
		return &refractv1.GetTaskResponse{Task: &refractv1.Task{Outputs: []*refractv1.Output{{ContentType: "video/mp4"}}}}, nil
	}}, folder(dir))
	download := s.start(t, http.MethodGet, fileAt+"0", nil)
	defer download.Body.Close()
	s.slowRequest(t)

	if n, err := io.Copy(io.Discard, download.Body); err != nil || n != size {
		t.Errorf("%d bytes arrived, %v, want %d", n, err, size)
	}
}

func TestREST_BodyThatDoesNotArriveIsAnswered(t *testing.T) {
	t.Parallel()
	text := &logText{}
	h := httpapi.NewInternal(httpapi.InternalConfig{Conn: dial(t, &remote{}), Log: text.logger()})
	s := serve(t, h, text, func(srv *http.Server) { srv.ReadHeaderTimeout, srv.ReadTimeout = hung, shortTimeout })
	got, want := s.slowRequest(t), `{"code":4,"message":"the body did not arrive in time"}`
	if !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.HasSuffix(got, want) {
		t.Errorf("answer %q, want 408 %s", got, want)
	}
}
