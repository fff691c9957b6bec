package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestExplain_IsOnePage(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(noon.Add(d)) }
	e := &refractv1.Explanation{
		Task: &refractv1.Task{
			Id: clienttest.TaskID, RequestId: "order-7", State: refractv1.TaskState_TASK_STATE_FAILED, Provider: "fal", Model: "luma/ray-2-modify",
			CreateTime: at(0), UpdateTime: at(90 * time.Minute),
			Failure: &refractv1.Failure{Reason: refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, Message: "it broke", Payment: refractv1.Payment_PAYMENT_PAID},
		},
		Entries: []*refractv1.ExplanationEntry{
			{Time: at(0), Kind: refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_EVENT, Message: "submitted", Facts: map[string]string{"state": "QUEUED", "revision": "1"}},
			{
				Time: at(1200 * time.Millisecond), Kind: refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_ATTEMPT, Attempt: 1, Message: "attempt 1 admitted to fal",
				Facts: map[string]string{"state": "SUBMITTING", "revision": "2", "provider_task_id": "p\x1b[2J1", "account": "fal"},
			},
			{Time: at(61 * time.Second), Kind: refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_CALLBACK, Message: "a callback\nof attempt 1 is too old", Facts: map[string]string{"verdict": "stale"}},
			{Time: at(90 * time.Minute), Kind: refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_EVENT, Message: "fal reports that attempt 1 failed: it broke", Facts: map[string]string{"state": "FAILED"}},
		},
		EntriesLeftOut: 12, TraceId: "4bf92f3577b34da6a3ce929d0e0e4736",
		Next:  &refractv1.NextStep{Message: "event 4 (FAILED) is sent to a webhook endpoint", Time: at(2 * time.Hour)},
		Retry: &refractv1.RetryAdvice{CanHelp: true, Message: "a retry makes another attempt at fal, which is paid for: it costs 0.35 USD per output second"},
	}
	var out strings.Builder
	err := printExplanation(&out, e, noon.Add(100*time.Minute))
	want := `task       ` + clienttest.TaskID + `
state      FAILED since 2026-11-05T13:30:00Z (10m0s ago)
failure    PROVIDER_FAILED: it broke (the attempt was paid for, unless the provider refunds it)
model      luma/ray-2-modify
provider   fal
request id order-7
trace id   4bf92f3577b34da6a3ce929d0e0e4736

2026-11-05T12:00:00Z  +0s     QUEUED     submitted
2026-11-05T12:00:01Z  +1.2s   SUBMITTING attempt 1 admitted to fal
    account=fal provider_task_id=p [2J1

  … 12 entries of the middle are left out …

2026-11-05T12:01:01Z  +1m1s   callback   a callback of attempt 1 is too old
    verdict=stale
2026-11-05T13:30:00Z  +1h30m  FAILED     fal reports that attempt 1 failed: it broke

next       event 4 (FAILED) is sent to a webhook endpoint, at the latest at 2026-11-05T14:00:00Z (in 20m0s)
retry      yes: a retry makes another attempt at fal, which is paid for: it costs 0.35 USD per output second
`
	if diff := cmp.Diff(want, out.String()); diff != "" || err != nil {
		t.Errorf("%v, page (-want +got):\n%s", err, diff)
	}
}

func TestExplain_AsksTheService(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Explain: func(req *refractv1.ExplainTaskRequest) (*refractv1.Explanation, error) {
		if req.GetTaskId() != clienttest.TaskID {
			return nil, status.Error(codes.NotFound, "no such task")
		}
		return &refractv1.Explanation{Task: &refractv1.Task{Id: clienttest.TaskID}}, nil
	}})
	if exit, out, errs := command(t, r, "explain", clienttest.TaskID); exit != 0 || !strings.Contains(out, "task       "+clienttest.TaskID) {
		t.Errorf("exit %d, printed %s%s", exit, out, errs)
	}
	if exit, out, errs := command(t, r, "explain", clienttest.TaskID, "--json"); exit != 0 || out != `{"task":{"id":"`+clienttest.TaskID+`"}}`+"\n" {
		t.Errorf("exit %d, printed %s%s", exit, out, errs)
	}
	if exit, _, errs := command(t, r, "explain", "another"); exit == 0 || !strings.Contains(errs, "no such task") {
		t.Errorf("exit %d, printed %s, want the refusal", exit, errs)
	}
}

func TestStuck_PrintsTaskCauseAndAdvice(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	p := page{now: noon}
	p.stuck(&refractv1.StuckTask{
		TaskId: clienttest.TaskID, Tenant: "acme", State: refractv1.TaskState_TASK_STATE_RUNNING, Provider: "kie", Model: "luma/ray-2-modify",
		StateTime: timestamppb.New(noon.Add(-26 * time.Hour)), UsualDuration: durationpb.New(5 * time.Minute),
		Waiting: &refractv1.Waiting{Cause: refractv1.WaitingCause_WAITING_CAUSE_UNCONFIRMED_OUTCOME, Message: "its callback\nis awaited"},
		Advice:  "Look for the attempt in the console of kie.",
	})
	want := clienttest.TaskID + `  RUNNING for 26h0m, usually 5m0s
    tenant acme, provider kie, model luma/ray-2-modify
    waits for UNCONFIRMED_OUTCOME: its callback is awaited
    Look for the attempt in the console of kie.
`
	if diff := cmp.Diff(want, p.text.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
