package e2etest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// MakeBusy gives the service running attempts at every provider, a stream of callbacks, a long save, and watchers over
// gRPC and HTTP. The watchers end with the service.
func (ts *Service) MakeBusy(t *testing.T) *sync.WaitGroup {
	t.Helper()
	at := func(name string) func(*refractv1.SubmitTaskRequest) {
		return func(r *refractv1.SubmitTaskRequest) { r.Provider = name }
	}
	running := ts.Submit(t, "[sim:processing=1h]")
	for _, name := range []string{"luma", "luma-agents"} {
		ts.Await(t, ts.Submit(t, "[sim:processing=1h]", at(name)).GetId(), IsRunning)
	}
	ts.Await(t, running.GetId(), IsRunning)
	ts.End(t, ts.Submit(t, "").GetId())
	done := len(ts.Sim.Downloads())
	ts.Submit(t, "[sim:duplicate=9]")
	ts.Submit(t, "[sim:slow=5s]")
	if err := ts.Sim.Await(ts.Ctx(t), func() bool { return len(ts.Sim.Downloads()) > done+1 }); err != nil {
		t.Fatalf("the saves do not begin: %v", err)
	}

	watchers := &sync.WaitGroup{}
	for range 10 {
		stream, err := ts.Tasks.WatchTask(ts.Ctx(t), &refractv1.WatchTaskRequest{TaskId: running.GetId(), AfterRevision: new(int64)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		watchers.Go(func() {
			var err error
			for err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != codes.Unavailable {
				t.Errorf("a watch ended with %v, want UNAVAILABLE", err)
			}
		})
		lines := ts.watchHTTP(t, running.GetId())
		watchers.Go(func() {
			last := ""
			for lines.Scan() {
				last = lines.Text()
			}
			if !strings.Contains(last, "SHUTTING_DOWN") {
				t.Errorf("a watch over HTTP ended with %q, want SHUTTING_DOWN", last)
			}
		})
	}
	ts.uploadSilently(t, watchers)
	return watchers
}

// uploadSilently starts uploads that send no more bytes. They end with the service.
func (ts *Service) uploadSilently(t *testing.T, g *sync.WaitGroup) {
	t.Helper()
	header := &refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Header{
		Header: &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: 100},
	}}
	chunk := &refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: []byte("x")}}
	for _, messages := range [][]*refractv1.UploadSourceRequest{nil, {header}, {header, chunk}} {
		stream, err := ts.Tasks.UploadSource(ts.Ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if err := stream.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		g.Go(func() {
			err := stream.RecvMsg(&refractv1.UploadSourceResponse{})
			if status.Code(err) != codes.Unavailable {
				t.Errorf("an upload of %d messages ended with %v, want UNAVAILABLE", len(messages), err)
			}
		})
	}
	body, unsent := io.Pipe()
	req, err := http.NewRequestWithContext(ts.Ctx(t), http.MethodPut,
		"http://"+ts.HTTPAddr()+"/v1/sources/"+uuid.NewString(), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ts.Token)
	req.Header.Set("Content-Range", "bytes 0-99/100")
	req.Header.Set("Expect", "100-continue") // The body is sent when the service reads it.
	g.Go(func() {
		defer func() { _ = unsent.Close() }()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("an upload over HTTP: %v", err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("an upload over HTTP ended with %s, want 503", resp.Status)
		}
	})
	if _, err := unsent.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
}

// watchHTTP watches a task over HTTP and returns its lines after the first.
func (ts *Service) watchHTTP(t *testing.T, id string) *bufio.Scanner {
	t.Helper()
	req, err := http.NewRequestWithContext(ts.Ctx(t), http.MethodGet,
		"http://"+ts.HTTPAddr()+"/v1/tasks/"+id+":watch?after_revision=0", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ts.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() {
		t.Fatalf("no first line: %v", lines.Err())
	}
	return lines
}

// OpenStreams opens a stream of each kind. The returned functions wait for its end, and return an error unless that is
// UNAUTHENTICATED.
func (ts *Service) OpenStreams(ctx context.Context, t *testing.T, token, id string) map[string]func() error {
	t.Helper()
	unauthenticated := func(err error) error {
		if got := RefusalOf(err); got.Code != codes.Unauthenticated || got.Reason != "CREDENTIALS_INVALID" {
			return fmt.Errorf("ended with %w, want UNAUTHENTICATED", err)
		}
		return nil
	}
	one, err := ts.Tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: new(int64)})
	if err != nil {
		t.Fatal(err)
	}
	all, err := ts.Tasks.WatchTasks(ctx, &refractv1.WatchTasksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	upload, err := ts.Tasks.UploadSource(ctx)
	if err != nil {
		t.Fatal(err)
	}
	header := &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: 100}
	for _, m := range []*refractv1.UploadSourceRequest{
		{Part: &refractv1.UploadSourceRequest_Header{Header: header}}, {Part: &refractv1.UploadSourceRequest_Chunk{Chunk: []byte("abc")}},
	} {
		if err := upload.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, recv := range []func() error{
		func() error { _, err := one.Recv(); return err }, func() error { _, err := all.Recv(); return err },
	} {
		if err := recv(); err != nil { // The stream has started.
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ts.HTTPAddr()+"/v1/tasks:watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	sse, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sse.Body.Close() })
	return map[string]func() error{
		"WatchTask":    func() error { return unauthenticated(last(one.Recv)) },
		"WatchTasks":   func() error { return unauthenticated(last(all.Recv)) },
		"UploadSource": func() error { return unauthenticated(upload.RecvMsg(&refractv1.UploadSourceResponse{})) },
		"server-sent events": func() error {
			var text strings.Builder
			for lines := bufio.NewScanner(sse.Body); lines.Scan(); {
				text.WriteString(lines.Text() + "\n")
			}
			if !strings.Contains(text.String(), "CREDENTIALS_INVALID") {
				return fmt.Errorf("ended with %s", text.String())
			}
			return nil
		},
	}
}

// last reads a stream to its end, and returns its final error.
func last[M any](recv func() (M, error)) error {
	for {
		if _, err := recv(); err != nil {
			return err
		}
	}
}
