package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/server"
)

// another starts another replica of a service. It has its own provider, so a task that both replicas worked on may not
// end.
func (ts *testService) another(t *testing.T) *testService {
	t.Helper()
	return startService(t, func(f *server.Config, _ *simConfig) {
		f.DatabaseURL = redact.Secret(ts.pool.Config().ConnString())
	})
}

// changes is an open stream of all tasks.
type changes struct {
	refractv1.TaskService_WatchTasksClient
	token string
	open  func(token string) (refractv1.TaskService_WatchTasksClient, error)
}

// watchAll opens a stream and waits for its first bookmark.
func (ts *testService) watchAll(t *testing.T, req *refractv1.WatchTasksRequest) *changes {
	t.Helper()
	ctx := ts.ctx(t)
	c := &changes{token: req.GetResumeToken()}
	c.open = func(token string) (refractv1.TaskService_WatchTasksClient, error) {
		again := proto.CloneOf(req)
		again.ResumeToken = token
		return ts.tasks.WatchTasks(ctx, again)
	}
	var err error
	if c.TaskService_WatchTasksClient, err = c.open(c.token); err != nil {
		t.Fatal(err)
	}
	m, err := c.Recv()
	if err != nil {
		t.Fatalf("open the stream: %v", err)
	}
	if m.GetEvent() != nil || m.GetResumeToken() == "" {
		t.Fatalf("the first message is %v, want a bookmark", m)
	}
	c.token = m.GetResumeToken()
	return c
}

// until returns the events up to and including the first that satisfies the condition.
func (c *changes) until(t *testing.T, last func(*refractv1.WatchedTaskEvent) bool) []*refractv1.WatchedTaskEvent {
	t.Helper()
	var events []*refractv1.WatchedTaskEvent
	for {
		m, err := c.Recv()
		if resumes(t.Context(), err) {
			if c.TaskService_WatchTasksClient, err = c.open(c.token); err != nil {
				t.Fatalf("resume the stream: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("the stream ended after %d events: %v", len(events), err)
		}
		c.token = m.GetResumeToken()
		if e := m.GetEvent(); e != nil {
			events = append(events, e)
			if last(e) {
				return events
			}
		}
	}
}

// end returns the error with which the stream ends, after bookmarks.
func (c *changes) end() error {
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

func ends(id string) func(*refractv1.WatchedTaskEvent) bool {
	return func(e *refractv1.WatchedTaskEvent) bool {
		return e.GetTaskId() == id && terminal(e.GetEvent().GetState())
	}
}

func reaches(id string, state refractv1.TaskState) func(*refractv1.WatchedTaskEvent) bool {
	return func(e *refractv1.WatchedTaskEvent) bool {
		return e.GetTaskId() == id && e.GetEvent().GetState() == state
	}
}

func TestWatchTasks_BringsEveryChangeOfTheTenantAndResumesAnywhere(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	stream := ts.watchAll(t, &refractv1.WatchTasksRequest{})
	begin := stream.token
	first := ts.submit(t, "", func(r *refractv1.SubmitTaskRequest) { r.Labels = map[string]string{"film": "7"} })
	got := stream.until(t, ends(first.GetId()))
	for i, e := range got {
		if e.GetTaskId() != first.GetId() || e.GetRequestId() != first.GetRequestId() || e.GetLabels()["film"] != "7" {
			t.Errorf("an event of another task: %v", e)
		}
		if e.GetEvent().GetRevision() != int64(i+1) {
			t.Errorf("revision %d came where %d belongs", e.GetEvent().GetRevision(), i+1)
		}
	}
	if outputs := got[len(got)-1].GetEvent().GetOutputs(); len(outputs) != 1 || outputs[0].GetDownloadUri() == "" {
		t.Errorf("the last event has outputs %v, want one", outputs)
	}

	other := ts.another(t)
	ts.stop()
	if err := stream.end(); status.Code(err) != codes.Unavailable {
		t.Errorf("after draining: %v, want UNAVAILABLE", err)
	}
	second := other.submit(t, "")
	resumed := other.watchAll(t, &refractv1.WatchTasksRequest{ResumeToken: stream.token})
	for i, e := range resumed.until(t, reaches(second.GetId(), refractv1.TaskState_TASK_STATE_SUBMITTING)) {
		if e.GetTaskId() != second.GetId() || e.GetEvent().GetRevision() != int64(i+1) {
			t.Errorf("event %d after resuming is %v", i, e)
		}
	}
	var all []string
	for _, e := range other.watchAll(t, &refractv1.WatchTasksRequest{
		ResumeToken: begin, States: []refractv1.TaskState{refractv1.TaskState_TASK_STATE_QUEUED, refractv1.TaskState_TASK_STATE_SUCCEEDED},
	}).until(t, reaches(second.GetId(), refractv1.TaskState_TASK_STATE_QUEUED)) {
		all = append(all, fmt.Sprint(e.GetTaskId(), " ", stateName(e.GetEvent().GetState())))
	}
	want := []string{
		first.GetId() + " QUEUED", first.GetId() + " SUCCEEDED", second.GetId() + " QUEUED",
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("the whole again, filtered by state (-want +got):\n%s", diff)
	}
	labelled := other.watchAll(t, &refractv1.WatchTasksRequest{ResumeToken: begin, Labels: map[string]string{"film": "7"}})
	third := other.submit(t, "", func(r *refractv1.SubmitTaskRequest) { r.Labels = map[string]string{"film": "7"} })
	for _, e := range labelled.until(t, reaches(third.GetId(), refractv1.TaskState_TASK_STATE_QUEUED)) {
		if e.GetTaskId() == second.GetId() {
			t.Errorf("an event without the label: %v", e)
		}
	}
}

// expire makes retention remove a task that has ended.
func (ts *testService) expire(t *testing.T, id string) {
	t.Helper()
	const age = `
WITH terms AS (INSERT INTO tenant (tenant, keep_tasks) VALUES ('', '90 days'))
UPDATE task SET create_time = now() - interval '1 year', update_time = now() - interval '1 year' WHERE id = $1`
	if _, err := ts.pool.Exec(t.Context(), age, id); err != nil {
		t.Fatal(err)
	}
	retainer := &retention.Retainer{Store: ts.store(t).Retention, Bucket: ts.bucket(t), Log: slog.New(slog.DiscardHandler)}
	eventually(t, "its turn to remove tasks", func() bool {
		_, _, held, err := retainer.Round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return held
	})
	if _, err := ts.tasks.GetTask(ts.ctx(t), &refractv1.GetTaskRequest{TaskId: id}); status.Code(err) != codes.NotFound {
		t.Fatalf("a task that has expired: %v, want NOT_FOUND", err)
	}
}

func TestWatchTasks_RefusesTokensOfOthersAndOldOnes(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	stream := ts.watchAll(t, &refractv1.WatchTasksRequest{})
	old := stream.token
	gone := ts.submit(t, "")
	stream.until(t, ends(gone.GetId()))
	ts.expire(t, gone.GetId())
	// The newest events of a followed tenant are in memory, even if retention has removed them.
	other := ts.another(t)
	foreign := as(context.WithoutCancel(t.Context()), createToken(t, ts.pool, "others"))
	mine := other.ctx(t)
	var oldest string
	for name, tc := range map[string]struct {
		ctx   context.Context
		token string
		want  codes.Code
	}{
		"older than retention": {mine, old, codes.OutOfRange},
		"of another tenant":    {foreign, old, codes.InvalidArgument},
		"a word":               {mine, "newest", codes.InvalidArgument},
		"too long":             {mine, strings.Repeat("A", 129), codes.InvalidArgument},
	} {
		s, err := other.tasks.WatchTasks(tc.ctx, &refractv1.WatchTasksRequest{ResumeToken: tc.token})
		for err == nil {
			_, err = s.Recv()
		}
		if status.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if tc.want == codes.OutOfRange {
			oldest = infoOf(status.Convert(err)).GetMetadata()["oldest_resume_token"]
			if reason := infoOf(status.Convert(err)).GetReason(); reason != "REVISION_EXPIRED" {
				t.Errorf("%s: the reason is %q", name, reason)
			}
		}
	}
	next := ts.submit(t, "")
	for _, e := range other.watchAll(t, &refractv1.WatchTasksRequest{ResumeToken: oldest}).until(t, reaches(next.GetId(), refractv1.TaskState_TASK_STATE_QUEUED)) {
		if e.GetTaskId() != next.GetId() {
			t.Errorf("from the oldest token came %v", e)
		}
	}
}

func TestWatchTasks_TenantsSeeTheirOwnAlone(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	stranger := as(t.Context(), createToken(t, ts.pool, "strangers"))
	ctx, cancel := context.WithCancel(stranger)
	defer cancel()
	theirs, err := ts.tasks.WatchTasks(ctx, &refractv1.WatchTasksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Recv(); err != nil {
		t.Fatal(err)
	}
	ts.end(t, ts.submit(t, "").GetId())
	resp, err := ts.tasks.SubmitTask(stranger, goodRequest())
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := theirs.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetEvent() == nil {
			continue
		}
		if m.GetEvent().GetTaskId() != resp.GetTask().GetId() {
			t.Fatalf("a stranger saw %v", m)
		}
		return
	}
}

func TestWatchTasks_OverHTTPLastEventIDResumes(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	token := ts.watchAll(t, &refractv1.WatchTasksRequest{}).token
	task := ts.submit(t, "")
	ts.end(t, task.GetId())
	// events reads until the end of the task or for n events, and returns their data and the last id.
	events := func(after string, n int) (data []string, id string) {
		ctx, cancel := context.WithTimeout(t.Context(), hung)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ts.HTTPAddr()+"/v1/tasks:watch", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+ts.token)
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Last-Event-ID", after)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines, name := bufio.NewScanner(resp.Body), ""
		for len(data) < n && lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case key == "id":
				id = value
			case key == "event":
				name = value
			case key == "data" && name == "event":
				data = append(data, value)
			}
		}
		if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		return data, id
	}
	n := int(ts.get(t, task.GetId()).GetRevision()) // If a callback overtakes the answer, there is one event less.
	all, _ := events(token, n)
	head, middle := events(token, 2)
	tail, _ := events(middle, n-2)
	if diff := cmp.Diff(all, append(head, tail...)); diff != "" {
		t.Errorf("in two parts (-want +got):\n%s", diff)
	}
	var last struct {
		TaskID string `json:"taskId"`
		Event  struct {
			State   string `json:"state"`
			Outputs []any  `json:"outputs"`
		} `json:"event"`
	}
	var m struct {
		Event *json.RawMessage `json:"event"`
	}
	if err := errors.Join(json.Unmarshal([]byte(all[n-1]), &m), json.Unmarshal(*m.Event, &last)); err != nil {
		t.Fatal(err)
	}
	if last.TaskID != task.GetId() || last.Event.State != "TASK_STATE_SUCCEEDED" || len(last.Event.Outputs) != 1 {
		t.Errorf("the last event is %s", all[n-1])
	}
}
