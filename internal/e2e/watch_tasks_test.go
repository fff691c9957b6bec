package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
)

func ends(id string) func(*refractv1.WatchedTaskEvent) bool {
	return func(e *refractv1.WatchedTaskEvent) bool {
		return e.GetTaskId() == id && e2etest.Terminal(e.GetEvent().GetState())
	}
}

func reaches(id string, state refractv1.TaskState) func(*refractv1.WatchedTaskEvent) bool {
	return func(e *refractv1.WatchedTaskEvent) bool {
		return e.GetTaskId() == id && e.GetEvent().GetState() == state
	}
}

func TestWatchTasks_BringsEveryChangeOfTheTenantAndResumesAnywhere(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	stream := ts.WatchAll(t, &refractv1.WatchTasksRequest{})
	begin := stream.Token
	first := ts.Submit(t, "", func(r *refractv1.SubmitTaskRequest) { r.Labels = map[string]string{"film": "7"} })
	got := stream.Until(t, ends(first.GetId()))
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

	other := ts.Another(t)
	ts.Stop()
	if err := stream.End(); status.Code(err) != codes.Unavailable {
		t.Errorf("after draining: %v, want UNAVAILABLE", err)
	}
	second := other.Submit(t, "")
	resumed := other.WatchAll(t, &refractv1.WatchTasksRequest{ResumeToken: stream.Token})
	for i, e := range resumed.Until(t, reaches(second.GetId(), refractv1.TaskState_TASK_STATE_SUBMITTING)) {
		if e.GetTaskId() != second.GetId() || e.GetEvent().GetRevision() != int64(i+1) {
			t.Errorf("event %d after resuming is %v", i, e)
		}
	}
	var all []string
	for _, e := range other.WatchAll(t, &refractv1.WatchTasksRequest{
		ResumeToken: begin, States: []refractv1.TaskState{refractv1.TaskState_TASK_STATE_QUEUED, refractv1.TaskState_TASK_STATE_SUCCEEDED},
	}).Until(t, reaches(second.GetId(), refractv1.TaskState_TASK_STATE_QUEUED)) {
		all = append(all, fmt.Sprint(e.GetTaskId(), " ", e2etest.StateName(e.GetEvent().GetState())))
	}
	want := []string{
		first.GetId() + " QUEUED", first.GetId() + " SUCCEEDED", second.GetId() + " QUEUED",
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("the whole again, filtered by state (-want +got):\n%s", diff)
	}
	labelled := other.WatchAll(t, &refractv1.WatchTasksRequest{ResumeToken: begin, Labels: map[string]string{"film": "7"}})
	third := other.Submit(t, "", func(r *refractv1.SubmitTaskRequest) { r.Labels = map[string]string{"film": "7"} })
	for _, e := range labelled.Until(t, reaches(third.GetId(), refractv1.TaskState_TASK_STATE_QUEUED)) {
		if e.GetTaskId() == second.GetId() {
			t.Errorf("an event without the label: %v", e)
		}
	}
}

func TestWatchTasks_RefusesTokensOfOthersAndOldOnes(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	stream := ts.WatchAll(t, &refractv1.WatchTasksRequest{})
	old := stream.Token
	gone := ts.Submit(t, "")
	stream.Until(t, ends(gone.GetId()))
	ts.Expire(t, gone.GetId())
	// The newest events of a followed tenant are in memory, even if retention has removed them.
	other := ts.Another(t)
	foreign := e2etest.As(context.WithoutCancel(t.Context()), e2etest.CreateToken(t, ts.Pool, "others"))
	mine := other.Ctx(t)
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
		s, err := other.Tasks.WatchTasks(tc.ctx, &refractv1.WatchTasksRequest{ResumeToken: tc.token})
		for err == nil {
			_, err = s.Recv()
		}
		if status.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if tc.want == codes.OutOfRange {
			oldest = e2etest.InfoOf(status.Convert(err)).GetMetadata()["oldest_resume_token"]
			if reason := e2etest.InfoOf(status.Convert(err)).GetReason(); reason != "REVISION_EXPIRED" {
				t.Errorf("%s: the reason is %q", name, reason)
			}
		}
	}
	next := ts.Submit(t, "")
	for _, e := range other.WatchAll(t, &refractv1.WatchTasksRequest{ResumeToken: oldest}).Until(t, reaches(next.GetId(), refractv1.TaskState_TASK_STATE_QUEUED)) {
		if e.GetTaskId() != next.GetId() {
			t.Errorf("from the oldest token came %v", e)
		}
	}
}

func TestWatchTasks_TenantsSeeTheirOwnAlone(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	stranger := e2etest.As(t.Context(), e2etest.CreateToken(t, ts.Pool, "strangers"))
	ctx, cancel := context.WithCancel(stranger)
	defer cancel()
	theirs, err := ts.Tasks.WatchTasks(ctx, &refractv1.WatchTasksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Recv(); err != nil {
		t.Fatal(err)
	}
	ts.End(t, ts.Submit(t, "").GetId())
	resp, err := ts.Tasks.SubmitTask(stranger, e2etest.GoodRequest())
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
	ts := e2etest.Start(t, nil)
	token := ts.WatchAll(t, &refractv1.WatchTasksRequest{}).Token
	task := ts.Submit(t, "")
	ts.End(t, task.GetId())
	// events reads until the end of the task or for n events, and returns their data and the last id.
	events := func(after string, n int) (data []string, id string) {
		ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ts.HTTPAddr()+"/v1/tasks:watch", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+ts.Token)
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
	n := int(ts.Get(t, task.GetId()).GetRevision()) // If a callback overtakes the answer, there is one event less.
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
