package api

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tenants"
)

// taskTable stands in for the table into which submissions go, and keeps the request ids of each call.
type taskTable struct {
	lifecycle.Store

	calls [][]string
}

func (tt *taskTable) CreateTasks(_ context.Context, ds []task.Decision) []lifecycle.NewTask {
	var ids []string
	created := make([]lifecycle.NewTask, len(ds))
	for i, d := range ds {
		ids = append(ids, d.Task.RequestID)
		created[i] = lifecycle.NewTask{Task: d.Task, New: true}
		switch d.Task.RequestID {
		case "quota":
			created[i] = lifecycle.NewTask{Err: &tenants.QuotaError{Tenant: d.Task.Tenant, Quota: tenants.QuotaQueued, Limit: 1}}
		case "known":
			created[i].Task.Spec.Prompt, created[i].New = "another prompt", false
		}
	}
	tt.calls = append(tt.calls, ids)
	return created
}

func (tt *taskTable) TaskByRequest(context.Context, string, string) (task.Task, error) {
	return task.Task{}, lifecycle.ErrTaskNotFound
}

// serveSubmissions serves submissions to kie.
func serveSubmissions(t *testing.T) (refractv1.TaskServiceClient, *taskTable) {
	t.Helper()
	adapter, err := kie.New(kie.Config{APIKey: "key"})
	if err != nil {
		t.Fatal(err)
	}
	table := &taskTable{}
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: table, Accounts: provider.Accounts{"kie": adapter}, Route: []string{"kie"}, Meter: noop.Meter{},
		CheckSource: func(string) error { return nil }, Changed: func(task.ID, task.State) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	statuses := testStatuses(slog.New(slog.DiscardHandler))
	conn, _ := serveInMemory(t, Config{Tasks: NewTaskService(TaskServiceConfig{Lifecycle: verbs, Statuses: statuses})})
	return refractv1.NewTaskServiceClient(conn), table
}

func submissionNamed(id string) *refractv1.SubmitTaskRequest {
	return &refractv1.SubmitTaskRequest{
		RequestId: id, Prompt: "snow", Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com/a.mp4"}},
	}
}

// TestBatchSubmit_EachItemHasItsOwnResult mixes submissions that are taken with such that are refused at each step.
func TestBatchSubmit_EachItemHasItsOwnResult(t *testing.T) {
	t.Parallel()
	client, table := serveSubmissions(t)
	long, strange := submissionNamed("long"), submissionNamed("strange")
	long.Prompt, strange.Provider = strings.Repeat("x", 6001), "nowhere"
	items := []*refractv1.SubmitTaskRequest{
		submissionNamed("first"), long, submissionNamed("quota"), strange, submissionNamed("known"), submissionNamed("two words"), submissionNamed("last"),
	}
	resp, err := client.BatchSubmitTasks(as(t, "good"), &refractv1.BatchSubmitTasksRequest{Requests: items})
	if err != nil {
		t.Fatal(err)
	}
	// The status of each result, with the field or reason that it names. An item that was taken has the request id of its task.
	var got []string
	for _, r := range resp.GetResults() {
		st := status.FromProto(r.GetStatus())
		reason, _ := reasonOfStatus(st)
		got = append(got, strings.TrimSpace(strings.Join([]string{r.GetTask().GetRequestId(), reason, strings.Join(fieldsOfStatus(st), ",")}, " ")))
	}
	want := []string{"first", "INVALID_REQUEST prompt", "QUOTA_EXCEEDED", "INVALID_REQUEST provider", "REQUEST_ID_CONFLICT prompt", "INVALID_REQUEST request_id", "last"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	// All items that obey the rules go into one call of the store.
	if diff := cmp.Diff([][]string{{"first", "quota", "known", "last"}}, table.calls); diff != "" {
		t.Errorf("calls of the store (-want +got):\n%s", diff)
	}
}

func TestBatchSubmit_IsRefusedAsAWholeOutsideItsBounds(t *testing.T) {
	t.Parallel()
	client, table := serveSubmissions(t)
	thousand := make([]*refractv1.SubmitTaskRequest, 1000)
	for i := range thousand {
		thousand[i] = submissionNamed("r")
	}
	for name, tc := range map[string]struct {
		items []*refractv1.SubmitTaskRequest
		code  codes.Code
		field string
	}{
		"none":      {nil, codes.InvalidArgument, "requests"},
		"1000":      {thousand, codes.OK, ""},
		"1001":      {append(thousand[:1000:1000], submissionNamed("r")), codes.InvalidArgument, "requests"},
		"too large": {[]*refractv1.SubmitTaskRequest{{Prompt: strings.Repeat("x", maxRequest)}}, codes.ResourceExhausted, ""},
	} {
		_, err := client.BatchSubmitTasks(as(t, "good"), &refractv1.BatchSubmitTasksRequest{Requests: tc.items})
		if got := strings.Join(fieldsOfStatus(status.Convert(err)), ","); status.Code(err) != tc.code || got != tc.field {
			t.Errorf("%s: answered %v and names %q, want %v and %q", name, err, got, tc.code, tc.field)
		}
	}
	if len(table.calls) != 1 {
		t.Errorf("the store was called %d times, want once", len(table.calls))
	}
}

// TestSubmitTask_AnswersTheTaskOrWhyNot goes through the same steps for one task.
func TestSubmitTask_AnswersTheTaskOrWhyNot(t *testing.T) {
	t.Parallel()
	client, _ := serveSubmissions(t)
	resp, err := client.SubmitTask(as(t, "good"), submissionNamed("first"))
	if err != nil || resp.GetTask().GetRequestId() != "first" || resp.GetTask().GetState() != refractv1.TaskState_TASK_STATE_QUEUED {
		t.Errorf("answered %v, %v", resp, err)
	}
	for id, want := range map[string]codes.Code{"quota": codes.ResourceExhausted, "known": codes.AlreadyExists, "two words": codes.InvalidArgument} {
		if _, err := client.SubmitTask(as(t, "good"), submissionNamed(id)); status.Code(err) != want {
			t.Errorf("%s is answered %v, want %v", id, err, want)
		}
	}
}
