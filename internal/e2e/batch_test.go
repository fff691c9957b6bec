package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
)

// batchOutcome is a result of a batch as clients see it: the request id of a task, or a refusal.
type batchOutcome struct {
	Task    string
	Refusal e2etest.Refusal
}

func batchOutcomes(resp *refractv1.BatchSubmitTasksResponse) []batchOutcome {
	var outcomes []batchOutcome
	for _, r := range resp.GetResults() {
		o := batchOutcome{Task: r.GetTask().GetRequestId()}
		if st := r.GetStatus(); st != nil {
			o.Refusal = e2etest.RefusalOf(status.ErrorProto(st))
		}
		outcomes = append(outcomes, o)
	}
	return outcomes
}

// labelsOf returns a number of labels.
func labelsOf(n int) map[string]string {
	labels := map[string]string{}
	for i := range n {
		labels[fmt.Sprintf("label-%d", i)] = "x"
	}
	return labels
}

// TestBatchSubmit_AnswersItemByItem submits one batch of good and bad items over gRPC and REST.
func TestBatchSubmit_AnswersItemByItem(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	taken := ts.Submit(t, "", func(r *refractv1.SubmitTaskRequest) { r.RequestId = "taken" })
	item := func(id string, amend ...func(*refractv1.SubmitTaskRequest)) *refractv1.SubmitTaskRequest {
		r := e2etest.GoodRequest()
		r.RequestId = id
		for _, f := range amend {
			f(r)
		}
		return r
	}
	prompt := func(p string) func(*refractv1.SubmitTaskRequest) {
		return func(r *refractv1.SubmitTaskRequest) { r.Prompt = p }
	}
	invalid := func(fields ...string) batchOutcome {
		return batchOutcome{Refusal: e2etest.Refusal{Code: codes.InvalidArgument, Reason: "INVALID_REQUEST", Fields: fields}}
	}
	conflict := func(id string) batchOutcome {
		return batchOutcome{Refusal: e2etest.Refusal{Code: codes.AlreadyExists, Reason: "REQUEST_ID_CONFLICT", Fields: []string{"prompt"}, TaskID: id}}
	}
	req := &refractv1.BatchSubmitTasksRequest{}
	var want []batchOutcome
	for _, tc := range []struct {
		item *refractv1.SubmitTaskRequest
		want batchOutcome
	}{
		{item("a"), batchOutcome{Task: "a"}},
		{item("b", prompt("")), invalid("prompt")},
		{item(""), invalid("request_id")},
		{item("c", func(r *refractv1.SubmitTaskRequest) { r.Source, r.MaxAttempts = nil, 6 }), invalid("source", "max_attempts")},
		{item("l", func(r *refractv1.SubmitTaskRequest) { r.Labels = labelsOf(17) }), invalid("labels")},
		{item("f", func(r *refractv1.SubmitTaskRequest) {
			r.Provider, r.FallbackProviders = "kie", []string{"a", "b", "c", "d", "e"}
		}), invalid("fallback_providers")},
		{item("d", func(r *refractv1.SubmitTaskRequest) { r.Provider = "unknown" }), invalid("provider")},
		{item("a"), batchOutcome{Task: "a"}}, // The same item again.
		{item("a", prompt("another")), conflict("")},
		{item("taken", prompt(taken.GetPrompt())), batchOutcome{Task: "taken"}},
		{item("taken", prompt("another")), conflict(taken.GetId())},
		{item("e"), batchOutcome{Task: "e"}},
	} {
		req.Requests = append(req.Requests, tc.item)
		want = append(want, tc.want)
	}

	over, err := ts.Tasks.BatchSubmitTasks(ts.Ctx(t), req)
	if err != nil {
		t.Fatal(err)
	}
	want[8].Refusal.TaskID = over.GetResults()[0].GetTask().GetId()
	if diff := cmp.Diff(want, batchOutcomes(over)); diff != "" {
		t.Errorf("gRPC (-want +got):\n%s", diff)
	}
	if first, second := over.GetResults()[0].GetTask(), over.GetResults()[7].GetTask(); first.GetId() != second.GetId() {
		t.Errorf("one request id made the tasks %s and %s", first.GetId(), second.GetId())
	}
	body, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	httpStatus, answer := ts.Rest(t, http.MethodPost, "/v1/tasks:batchSubmit", string(body))
	again := &refractv1.BatchSubmitTasksResponse{}
	if err := protojson.Unmarshal(answer, again); err != nil || httpStatus != http.StatusOK {
		t.Fatalf("REST answered %d, %v: %s", httpStatus, err, answer)
	}
	if diff := cmp.Diff(want, batchOutcomes(again)); diff != "" {
		t.Errorf("REST (-want +got):\n%s", diff)
	}
	if n := ts.TasksOfTenant(t); n != 3 {
		t.Errorf("%d tasks were made, want those of a, e and taken", n)
	}
	_, alone := ts.Tasks.SubmitTask(ts.Ctx(t), req.GetRequests()[3])
	if got := over.GetResults()[3].GetStatus(); !proto.Equal(got, status.Convert(alone).Proto()) {
		t.Errorf("an item is refused with %v, alone it is with %v", got, alone)
	}
}

func TestBatchSubmit_TakesOneToAThousandItems(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) { f.KIE.Limits = []string{"1/1h/1"} })
	req := &refractv1.BatchSubmitTasksRequest{}
	for range 1000 {
		req.Requests = append(req.Requests, e2etest.GoodRequest())
	}
	resp, err := ts.Tasks.BatchSubmitTasks(ts.Ctx(t), req)
	if err != nil || len(resp.GetResults()) != 1000 {
		t.Fatalf("a batch of a thousand is answered with %d results, %v", len(resp.GetResults()), err)
	}
	for i, r := range resp.GetResults() {
		if r.GetTask().GetRequestId() != req.GetRequests()[i].GetRequestId() {
			t.Fatalf("result %d = %v, want the task of its item", i, r)
		}
	}
	for name, requests := range map[string][]*refractv1.SubmitTaskRequest{
		"none": nil, "one too many": append(req.GetRequests(), e2etest.GoodRequest()),
	} {
		_, err := ts.Tasks.BatchSubmitTasks(ts.Ctx(t), &refractv1.BatchSubmitTasksRequest{Requests: requests})
		if got := e2etest.RefusalOf(err); got.Code != codes.InvalidArgument || !cmp.Equal(got.Fields, []string{"requests"}) {
			t.Errorf("a batch with %s is answered %v, want INVALID_ARGUMENT about requests", name, err)
		}
	}
	large := &refractv1.BatchSubmitTasksRequest{}
	for range 1000 {
		r := e2etest.GoodRequest()
		r.Prompt = strings.Repeat("x", 4000)
		large.Requests = append(large.Requests, r)
	}
	if _, err := ts.Tasks.BatchSubmitTasks(ts.Ctx(t), large); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a request of 4 MB is answered %v, want RESOURCE_EXHAUSTED", err)
	}
}

func TestBatchSubmit_QuotasAreExact(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) { f.KIE.Limits = []string{"1/1h/1"} })
	if _, err := ts.Pool.Exec(t.Context(), "INSERT INTO tenant (tenant, max_per_day) VALUES ('acme', 5)"); err != nil {
		t.Fatal(err)
	}
	known := ts.Submit(t, "")
	req := &refractv1.BatchSubmitTasksRequest{}
	for i := range 8 {
		r := e2etest.GoodRequest()
		if i == 2 { // A known request id uses no quota.
			r.RequestId, r.Prompt = known.GetRequestId(), known.GetPrompt()
		}
		req.Requests = append(req.Requests, r)
	}
	resp, err := ts.Tasks.BatchSubmitTasks(ts.Ctx(t), req)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range resp.GetResults() {
		if want := i < 5; (r.GetTask() != nil) != want {
			t.Errorf("result %d = %v, want a task: %t", i, r, want)
		}
		if st := r.GetStatus(); st != nil {
			err := status.ErrorProto(st)
			if got := e2etest.RefusalOf(err); got.Code != codes.ResourceExhausted || got.Reason != "QUOTA_EXCEEDED" || e2etest.RetryOf(err) <= 0 {
				t.Errorf("result %d = %v, want RESOURCE_EXHAUSTED with QUOTA_EXCEEDED and RetryInfo", i, st)
			}
		}
	}
	if n := ts.TasksOfTenant(t); n != 5 {
		t.Errorf("%d tasks were made, want 5", n)
	}
}
