package e2etest

import (
	"fmt"
	"log/slog"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/server"
)

// Another starts another replica of a service. It has its own provider, so a task that both replicas worked on may not
// end.
func (ts *Service) Another(t *testing.T) *Service {
	t.Helper()
	return Start(t, func(f *server.Config, _ *SimConfig) {
		f.DatabaseURL = redact.Secret(ts.Pool.Config().ConnString())
	})
}

// Changes is an open stream of all tasks.
type Changes struct {
	refractv1.TaskService_WatchTasksClient
	Token string
	open  func(token string) (refractv1.TaskService_WatchTasksClient, error)
}

// WatchAll opens a stream and waits for its first bookmark.
func (ts *Service) WatchAll(t *testing.T, req *refractv1.WatchTasksRequest) *Changes {
	t.Helper()
	ctx := ts.Ctx(t)
	c := &Changes{Token: req.GetResumeToken()}
	c.open = func(token string) (refractv1.TaskService_WatchTasksClient, error) {
		again := proto.CloneOf(req)
		again.ResumeToken = token
		return ts.Tasks.WatchTasks(ctx, again)
	}
	var err error
	if c.TaskService_WatchTasksClient, err = c.open(c.Token); err != nil {
		t.Fatal(err)
	}
	m, err := c.Recv()
	if err != nil {
		t.Fatalf("open the stream: %v", err)
	}
	if m.GetEvent() != nil || m.GetResumeToken() == "" {
		t.Fatalf("the first message is %v, want a bookmark", m)
	}
	c.Token = m.GetResumeToken()
	return c
}

// Until returns the events up to and including the first that satisfies the condition.
func (c *Changes) Until(t *testing.T, last func(*refractv1.WatchedTaskEvent) bool) []*refractv1.WatchedTaskEvent {
	t.Helper()
	var events []*refractv1.WatchedTaskEvent
	for {
		m, err := c.Recv()
		if resumes(t.Context(), err) {
			if c.TaskService_WatchTasksClient, err = c.open(c.Token); err != nil {
				t.Fatalf("resume the stream: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("the stream ended after %d events: %v", len(events), err)
		}
		c.Token = m.GetResumeToken()
		if e := m.GetEvent(); e != nil {
			events = append(events, e)
			if last(e) {
				return events
			}
		}
	}
}

// End returns the error with which the stream ends, after bookmarks.
func (c *Changes) End() error {
	for {
		m, err := c.Recv()
		if err != nil {
			return err
		}
		if m.GetEvent() != nil {
			return fmt.Errorf("an event came: %v", m)
		}
	}
}

// Expire makes retention remove a task that has ended.
func (ts *Service) Expire(t *testing.T, id string) {
	t.Helper()
	const age = `
WITH terms AS (INSERT INTO tenant (tenant, keep_tasks) VALUES ('', '90 days'))
UPDATE task SET create_time = now() - interval '1 year', update_time = now() - interval '1 year' WHERE id = $1`
	if _, err := ts.Pool.Exec(t.Context(), age, id); err != nil {
		t.Fatal(err)
	}
	retainer := &retention.Retainer{Store: ts.Store(t).Retention, Bucket: ts.Bucket(t), Log: slog.New(slog.DiscardHandler)}
	Eventually(t, "its turn to remove tasks", func() bool {
		_, _, held, err := retainer.Round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return held
	})
	if _, err := ts.Tasks.GetTask(ts.Ctx(t), &refractv1.GetTaskRequest{TaskId: id}); status.Code(err) != codes.NotFound {
		t.Fatalf("a task that has expired: %v, want NOT_FOUND", err)
	}
}
