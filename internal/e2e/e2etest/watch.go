package e2etest

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// TaskStream is an open stream of all tasks.
type TaskStream struct {
	refractv1.TaskService_WatchTasksClient
	Token string
	open  func(token string) (refractv1.TaskService_WatchTasksClient, error)
}

// WatchAll opens a stream and waits for its first bookmark.
func (ts *Service) WatchAll(t *testing.T, req *refractv1.WatchTasksRequest) *TaskStream {
	t.Helper()
	ctx := ts.Ctx(t)
	c := &TaskStream{Token: req.GetResumeToken()}
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
func (c *TaskStream) Until(t *testing.T, last func(*refractv1.WatchedTaskEvent) bool) []*refractv1.WatchedTaskEvent {
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
func (c *TaskStream) End() error {
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
