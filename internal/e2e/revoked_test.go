package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/server"
)

// TestCredentials_StreamsEndWithTheirToken revokes a token, and deletes another one, while streams of every kind are
// open. Streams with the tenant's other token must continue.
//
// It fails when admitStream in internal/api/auth.go does not bind the stream to its credentials.
func TestCredentials_StreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	ts := startService(t, func(_ *server.Config, c *simConfig) { c.Processing = time.Hour }) // No stream ends with its task.
	id := ts.submit(t, "").GetId()
	ts.await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	second := createToken(t, ts.pool, "acme")
	for name, statement := range map[string]string{
		"revoked": "UPDATE api_token SET revoke_time = now() WHERE tenant = $1",
		"deleted": "DELETE FROM api_token WHERE tenant = $1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := createToken(t, ts.pool, "leaver-"+name)
			ctx := as(ts.anonymous(t), token)
			req := goodRequest()
			resp, err := ts.tasks.SubmitTask(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			streams := ts.openStreams(ctx, t, token, resp.GetTask().GetId())
			do(t, ts.pool, statement, "leaver-"+name)
			for kind, end := range streams {
				if err := end(); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
		})
	}
	t.Run("rotated", func(t *testing.T) {
		t.Parallel()
		kept := ts.watchAll(t, &refractv1.WatchTasksRequest{})
		ctx := as(ts.anonymous(t), second)
		streams := ts.openStreams(ctx, t, second, id)
		do(t, ts.pool, "UPDATE api_token SET revoke_time = now() WHERE tenant = 'acme' AND hash = sha256(convert_to($1, 'UTF8'))", second)
		for kind, end := range streams {
			if err := end(); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		next := ts.submit(t, "").GetId()
		kept.until(t, func(e *refractv1.WatchedTaskEvent) bool { return e.GetTaskId() == next })
	})
}

// openStreams opens a stream of each kind. The returned functions wait for its end, and return an error unless that is
// UNAUTHENTICATED.
func (ts *testService) openStreams(ctx context.Context, t *testing.T, token, id string) map[string]func() error {
	t.Helper()
	unauthenticated := func(err error) error {
		if got := refusalOf(err); got.Code != codes.Unauthenticated || got.Reason != "CREDENTIALS_INVALID" {
			return fmt.Errorf("ended with %w, want UNAUTHENTICATED", err)
		}
		return nil
	}
	one, err := ts.tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: new(int64)})
	if err != nil {
		t.Fatal(err)
	}
	all, err := ts.tasks.WatchTasks(ctx, &refractv1.WatchTasksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	upload, err := ts.tasks.UploadSource(ctx)
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
