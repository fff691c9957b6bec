package api

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/task"
)

// noon is a time of tests.
var noon = time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)

// fullTask returns a task in which everything is set.
func fullTask() task.Task {
	return task.Task{
		ID: "01990000-0000-7000-8000-000000000001", Tenant: "acme", RequestID: "order-1",
		Spec: task.Spec{
			Prompt: "snow", SourceURI: "https://example.com/a.mp4", Watermark: "me", Strength: "flex_1", Model: "ray-2",
			Parameters:    `{"seed":7}`,
			FirstFrameURI: "https://example.com/a.png", WebhookURI: "https://example.com/hook", Provider: "luma", Fallbacks: []string{"kie", "luma-agents"}, Priority: -7,
			Labels: map[string]string{"team": "films"}, Deadline: time.Hour, MaxAttempts: 3,
		},
		Provider: "kie", Route: []string{"luma", "kie"}, State: task.Failed, Revision: 9,
		Attempts: []task.Attempt{
			{Number: 1, Provider: "luma", State: task.AttemptFailed},
			{Number: 2, Provider: "kie", Account: "kie-2", ProviderTaskID: "k-2", State: task.AttemptRunning, Cost: task.Cost{Amount: "12.5", Unit: "credits"}, CreateTime: noon.Add(time.Minute)},
		},
		Failure: &task.Failure{Reason: task.ProviderFailed, Message: "kie failed", Payment: task.PaymentPaid},
		Outputs: []task.Output{{
			Index: 1, Key: "k", ContentType: "video/mp4", SizeBytes: 5, SHA256: []byte{0xab, 0xcd}, Duration: 4 * time.Second,
			Width: 1920, Height: 1080, VideoCodec: "h264", ExpireTime: noon.Add(time.Hour),
		}},
		CreateTime: noon, UpdateTime: noon.Add(2 * time.Minute), DeadlineTime: noon.Add(time.Hour),
	}
}

// convertingService is a service that converts tasks.
func convertingService() *TaskService {
	return NewTaskService(TaskServiceConfig{
		BaseURL: "https://refract.example.com/", Typical: map[string]time.Duration{"kie": 3 * time.Minute},
		SignOutput: func(_ context.Context, id task.ID, o task.Output) (string, time.Time) {
			if o.Index == 0 {
				return "", time.Time{}
			}
			return "https://signed.example.com/" + string(id), noon.Add(time.Minute)
		},
	})
}

func TestTask_ShowsAllThatATaskHas(t *testing.T) {
	t.Parallel()
	full := fullTask()
	got := convertingService().task(&full)
	want := &refractv1.Task{
		Id: "01990000-0000-7000-8000-000000000001", RequestId: "order-1", State: refractv1.TaskState_TASK_STATE_FAILED, Revision: 9,
		Prompt: "snow", Source: &refractv1.Source{Location: &refractv1.Source_Uri{Uri: "https://example.com/a.mp4"}}, Watermark: "me",
		Provider: "kie", Priority: -7, Labels: map[string]string{"team": "films"}, MaxAttempts: 3,
		DeadlineTime: timestamppb.New(noon.Add(time.Hour)), CreateTime: timestamppb.New(noon), UpdateTime: timestamppb.New(noon.Add(2 * time.Minute)),
		Attempt: &refractv1.Attempt{
			Number: 2, Provider: "kie", ProviderTaskId: "k-2", State: refractv1.AttemptState_ATTEMPT_STATE_RUNNING,
			CreateTime: timestamppb.New(noon.Add(time.Minute)), Cost: &refractv1.Cost{Amount: "12.5", Unit: "credits"},
		},
		Failure: &refractv1.Failure{
			Reason: refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, Message: "kie failed", Retryable: true, Payment: refractv1.Payment_PAYMENT_PAID,
		},
		Outputs: []*refractv1.Output{{
			Index: 1, ContentType: "video/mp4", SizeBytes: 5, Sha256: "abcd", Width: 1920, Height: 1080, VideoCodec: "h264",
			Duration: durationpb.New(4 * time.Second), ExpireTime: timestamppb.New(noon.Add(time.Hour)),
			DownloadUri: "https://refract.example.com/v1/tasks/01990000-0000-7000-8000-000000000001/outputs/1",
		}},
		TypicalDuration: durationpb.New(3 * time.Minute), FallbackProviders: []string{"kie", "luma-agents"},
		Strength: refractv1.Strength_STRENGTH_FLEX_1, Model: "ray-2", FirstFrameUri: "https://example.com/a.png", WebhookUri: "https://example.com/hook",
		Parameters: &structpb.Struct{Fields: map[string]*structpb.Value{"seed": structpb.NewNumberValue(7)}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("task (-want +got):\n%s", diff)
	}
	for fields, i := got.ProtoReflect().Descriptor().Fields(), 0; i < fields.Len(); i++ {
		// Only GetTask shows what a task waits for.
		if field := fields.Get(i); !got.ProtoReflect().Has(field) && field.Name() != "waiting" {
			t.Errorf("a task in which everything is set leaves %s empty", field.Name())
		}
	}
}

func TestTask_LeavesOutWhatATaskHasNot(t *testing.T) {
	t.Parallel()
	bare := task.Task{ID: "t1", State: task.Queued, Provider: "luma", Spec: task.Spec{SourceID: "s1"}}
	got := convertingService().task(&bare)
	for _, name := range []protoreflect.Name{"attempt", "failure", "outputs", "typical_duration", "strength", "fallback_providers"} {
		if m := got.ProtoReflect(); m.Has(m.Descriptor().Fields().ByName(name)) {
			t.Errorf("a new task has %s: %v", name, got)
		}
	}
	if got.GetSource().GetSourceId() != "s1" || got.GetSource().GetUri() != "" {
		t.Errorf("the source of an upload is %v", got.GetSource())
	}
}

func TestOutputs_ThatExpiredHaveNoAddress(t *testing.T) {
	t.Parallel()
	s := convertingService()
	done := fullTask()
	done.Outputs = []task.Output{{Index: 0}, {Index: 1}, {Index: 2, Expired: true}}
	outputs := s.outputs(&done)
	for i, o := range outputs {
		if (o.GetDownloadUri() == "") != done.Outputs[i].Expired {
			t.Errorf("output %d has the address %q", i, o.GetDownloadUri())
		}
		if o.GetSignedUri() != "" || o.GetDuration() != nil || o.GetExpireTime() != nil {
			t.Errorf("output %d has what it lacks: %v", i, o)
		}
	}
	s.signOutputs(t.Context(), &done, outputs)
	for i, want := range []string{"", "https://signed.example.com/" + string(done.ID), ""} {
		if got := outputs[i].GetSignedUri(); got != want || (outputs[i].GetSignedUriExpireTime() != nil) != (want != "") {
			t.Errorf("output %d is signed as %q until %v, want %q", i, got, outputs[i].GetSignedUriExpireTime(), want)
		}
	}
}

func TestEvent_OnlySucceededHasOutputs(t *testing.T) {
	t.Parallel()
	s, full := convertingService(), fullTask()
	for _, state := range task.States {
		e := task.Event{Revision: 4, CreateTime: noon, State: state, Attempt: 2, Message: "m"}
		got := s.event(&e, &full)
		if (len(got.GetOutputs()) > 0) != (state == task.Succeeded) {
			t.Errorf("the event %s has %d outputs", state, len(got.GetOutputs()))
		}
		want := &refractv1.TaskEvent{Revision: 4, CreateTime: timestamppb.New(noon), State: stateOf(state), Attempt: 2, Message: "m"}
		if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(got, "outputs")); diff != "" {
			t.Errorf("event %s (-want +got):\n%s", state, diff)
		}
	}
	failed := s.event(&task.Event{State: task.Failed, Failure: full.Failure}, &full)
	if failed.GetFailure().GetReason() != refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED {
		t.Errorf("the event FAILED has the failure %v", failed.GetFailure())
	}
}

// TestSpecOf_TakesEveryField sets one field after another. Each but the request id must change the spec.
func TestSpecOf_TakesEveryField(t *testing.T) {
	t.Parallel()
	full := &refractv1.SubmitTaskRequest{
		RequestId: "r", Prompt: "p", Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com"}},
		Watermark: "w", Provider: "kie", Priority: 3, Labels: map[string]string{"a": "b"}, Deadline: durationpb.New(time.Hour), MaxAttempts: 2,
		FallbackProviders: []string{"luma"}, Strength: refractv1.Strength_STRENGTH_REIMAGINE_3, Model: "m", FirstFrameUri: "https://example.com/f", WebhookUri: "https://example.com/h",
		Parameters: &structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewNumberValue(1)}},
	}
	for fields, i := full.ProtoReflect().Descriptor().Fields(), 0; i < fields.Len(); i++ {
		field := fields.Get(i)
		if field.Name() == "request_id" {
			continue // It names the submission and is no part of it.
		}
		if !full.ProtoReflect().Has(field) {
			t.Errorf("the test sets no %s", field.Name())
			continue
		}
		req := &refractv1.SubmitTaskRequest{}
		req.ProtoReflect().Set(field, full.ProtoReflect().Get(field))
		if diff := cmp.Diff(specOf(&refractv1.SubmitTaskRequest{}), specOf(req)); diff == "" {
			t.Errorf("%s changes nothing", field.Name())
		}
	}
	upload := specOf(&refractv1.SubmitTaskRequest{Source: &refractv1.SubmitTaskSource{
		Location: &refractv1.SubmitTaskSource_SourceId{SourceId: "01990000-0000-7000-8000-00000000ABCD"},
	}})
	if upload.SourceID != "01990000-0000-7000-8000-00000000abcd" || upload.SourceURI != "" {
		t.Errorf("an uploaded source is %+v, want its id in lower case", upload)
	}
}

func TestWaiting_HasATimeOnlyWhereItIsKnown(t *testing.T) {
	t.Parallel()
	if got := waiting(nil); got != nil {
		t.Errorf("a task that waits for nothing has %v", got)
	}
	got := waiting(&task.Waiting{Cause: task.WaitRateWindow, Place: 3, Message: "m", Until: noon})
	want := &refractv1.Waiting{Cause: refractv1.WaitingCause_WAITING_CAUSE_RATE_WINDOW, PlaceInLine: 3, Message: "m", UntilTime: timestamppb.New(noon)}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	if got := waiting(&task.Waiting{Cause: task.WaitRateWindow}); got.GetUntilTime() != nil {
		t.Errorf("a wait without an end ends at %v", got.GetUntilTime())
	}
}

func TestUploadedSource_HasADurationOnlyWhereItIsKnown(t *testing.T) {
	t.Parallel()
	if got := uploadedSource(nil); got != nil {
		t.Errorf("an unfinished upload has the source %v", got)
	}
	s := &task.Source{ID: "s1", SHA256: []byte{1, 2}, Clip: task.Clip{SizeBytes: 5, ContentType: "video/mp4", Width: 3, Height: 4}, CreateTime: noon}
	want := &refractv1.UploadedSource{
		Id: "s1", Sha256: "0102", SizeBytes: 5, ContentType: "video/mp4", Width: 3, Height: 4, CreateTime: timestamppb.New(noon),
	}
	if diff := cmp.Diff(want, uploadedSource(s), protocmp.Transform()); diff != "" {
		t.Errorf("source (-want +got):\n%s", diff)
	}
	s.Duration = time.Second
	if got := uploadedSource(s).GetDuration().AsDuration(); got != time.Second {
		t.Errorf("the duration is %v", got)
	}
}

// TestSpecOf_ParametersThatJSONHasNotAreKeptApart has numbers that no JSON can hold. Submit refuses them, since they are no JSON.
func TestSpecOf_ParametersThatJSONHasNotAreKeptApart(t *testing.T) {
	t.Parallel()
	list := func(values ...*structpb.Value) *structpb.Value {
		return structpb.NewListValue(&structpb.ListValue{Values: values})
	}
	for name, tc := range map[string]struct {
		value *structpb.Value
		want  string
	}{
		"a number":           {structpb.NewNumberValue(7), `{"a":7}`},
		"a link":             {structpb.NewStringValue("https://h/?a=1&b=<2>"), `{"a":"https://h/?a=1&b=<2>"}`},
		"not a number":       {structpb.NewNumberValue(math.NaN()), notJSON},
		"an infinite number": {list(structpb.NewNumberValue(1), list(structpb.NewNumberValue(math.Inf(-1)))), notJSON},
	} {
		req := &refractv1.SubmitTaskRequest{Parameters: &structpb.Struct{Fields: map[string]*structpb.Value{"a": tc.value}}}
		spec := specOf(req)
		if spec.Parameters != tc.want {
			t.Errorf("%s is %q, want %q", name, spec.Parameters, tc.want)
		}
		if _, err := spec.ParameterValues(); (err != nil) != (tc.want == notJSON) {
			t.Errorf("%s is read as %v", name, err)
		}
	}
}
