package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/task"
)

// The enums of the contract are the domain's words behind a prefix. A test checks that each has its twin.
func stateOf(s task.State) refractv1.TaskState {
	return refractv1.TaskState(refractv1.TaskState_value["TASK_STATE_"+string(s)])
}

func attemptStateOf(s task.AttemptState) refractv1.AttemptState {
	return refractv1.AttemptState(refractv1.AttemptState_value["ATTEMPT_STATE_"+string(s)])
}

func reasonOf(r task.Reason) refractv1.FailureReason {
	return refractv1.FailureReason(refractv1.FailureReason_value["FAILURE_REASON_"+string(r)])
}

func paymentOf(p task.Payment) refractv1.Payment {
	return refractv1.Payment(refractv1.Payment_value["PAYMENT_"+string(p)])
}

// A strength is spelt flex_1 at providers and STRENGTH_FLEX_1 in the contract.
func strength(s string) refractv1.Strength {
	return refractv1.Strength(refractv1.Strength_value["STRENGTH_"+strings.ToUpper(s)])
}

func strengthOf(s refractv1.Strength) string {
	if s == refractv1.Strength_STRENGTH_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(s.String(), "STRENGTH_"))
}

func specOf(req *refractv1.SubmitTaskRequest) task.Spec {
	return task.Spec{
		Prompt:     req.GetPrompt(),
		SourceURI:  req.GetSource().GetUri(),
		SourceID:   task.SourceID(strings.ToLower(req.GetSource().GetSourceId())),
		Watermark:  req.GetWatermark(),
		Strength:   strengthOf(req.GetStrength()),
		Model:      req.GetModel(),
		Parameters: parametersOf(req.GetParameters()),
		Provider:   req.GetProvider(),
		Fallbacks:  req.GetFallbackProviders(),
		Priority:   req.GetPriority(),
		Labels:     req.GetLabels(),
		Deadline:   req.GetDeadline().AsDuration(),

		FirstFrameURI: req.GetFirstFrameUri(),
		WebhookURI:    req.GetWebhookUri(),
		MaxAttempts:   int(req.GetMaxAttempts()),
	}
}

// notJSON stands for parameters that can't be written as JSON. They are refused at submit.
const notJSON = "not finite"

// parametersOf returns parameters as JSON with sorted names, or "" for none.
func parametersOf(p *structpb.Struct) string {
	if len(p.GetFields()) == 0 {
		return ""
	}
	if !finite(structpb.NewStructValue(p)) {
		return notJSON
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(p.AsMap()); err != nil {
		return notJSON
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// finite reports whether all numbers of a value are finite, as JSON has them.
func finite(v *structpb.Value) bool {
	switch k := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		return !math.IsNaN(k.NumberValue) && !math.IsInf(k.NumberValue, 0)
	case *structpb.Value_StructValue:
		for _, inner := range k.StructValue.GetFields() {
			if !finite(inner) {
				return false
			}
		}
	case *structpb.Value_ListValue:
		return !slices.ContainsFunc(k.ListValue.GetValues(), func(inner *structpb.Value) bool { return !finite(inner) })
	}
	return true
}

// parameters converts the JSON of a task.
func parameters(text string) *structpb.Struct {
	if text == "" {
		return nil
	}
	p := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(text), p); err != nil {
		return nil // It was written by parametersOf.
	}
	return p
}

// task converts a task. Outputs and typical durations need what only the service knows.
func (s *TaskService) task(t *task.Task) *refractv1.Task {
	m := &refractv1.Task{
		Id:           string(t.ID),
		RequestId:    t.RequestID,
		State:        stateOf(t.State),
		Revision:     t.Revision,
		Prompt:       t.Spec.Prompt,
		Source:       sourceOf(t.Spec),
		Watermark:    t.Spec.Watermark,
		Provider:     t.Provider,
		Priority:     t.Spec.Priority,
		Labels:       t.Spec.Labels,
		MaxAttempts:  int32(t.Spec.MaxAttempts), //nolint:gosec // At most 5.
		DeadlineTime: timestamppb.New(t.DeadlineTime),
		CreateTime:   timestamppb.New(t.CreateTime),
		UpdateTime:   timestamppb.New(t.UpdateTime),
		Attempt:      attempt(t.Attempt()),
		Failure:      failure(t.Failure),
		Outputs:      s.outputs(t),
	}
	m.FallbackProviders, m.Strength, m.Model, m.FirstFrameUri = t.Spec.Fallbacks, strength(t.Spec.Strength), t.Spec.Model, t.Spec.FirstFrameURI
	m.Parameters, m.WebhookUri = parameters(t.Spec.Parameters), t.Spec.WebhookURI
	if d, ok := s.typical[t.Provider]; ok {
		m.TypicalDuration = durationpb.New(d)
	}
	return m
}

func sourceOf(spec task.Spec) *refractv1.Source {
	if spec.SourceID != "" {
		return &refractv1.Source{Location: &refractv1.Source_SourceId{SourceId: string(spec.SourceID)}}
	}
	return &refractv1.Source{Location: &refractv1.Source_Uri{Uri: spec.SourceURI}}
}

func attempt(a *task.Attempt) *refractv1.Attempt {
	if a == nil {
		return nil
	}
	var cost *refractv1.Cost
	if a.Cost != (task.Cost{}) {
		cost = &refractv1.Cost{Amount: a.Cost.Amount, Unit: a.Cost.Unit}
	}
	return &refractv1.Attempt{
		Number:         int32(a.Number), //nolint:gosec // Counts tries of one task.
		Provider:       a.Provider,
		ProviderTaskId: a.ProviderTaskID,
		State:          attemptStateOf(a.State),
		Cost:           cost,
		CreateTime:     timestamppb.New(a.CreateTime),
	}
}

func waiting(w *task.Waiting) *refractv1.Waiting {
	if w == nil {
		return nil
	}
	m := &refractv1.Waiting{
		Cause:       refractv1.WaitingCause(refractv1.WaitingCause_value["WAITING_CAUSE_"+string(w.Cause)]),
		PlaceInLine: int32(w.Place), //nolint:gosec // Counted up to 10,001.
		Message:     w.Message,
	}
	if !w.Until.IsZero() {
		m.UntilTime = timestamppb.New(w.Until)
	}
	return m
}

func failure(f *task.Failure) *refractv1.Failure {
	if f == nil {
		return nil
	}
	return &refractv1.Failure{
		Reason:    reasonOf(f.Reason),
		Message:   f.Message,
		Retryable: f.Reason.Retryable(),
		Payment:   paymentOf(f.Payment),
	}
}

func (s *TaskService) outputs(t *task.Task) []*refractv1.Output {
	outputs := make([]*refractv1.Output, len(t.Outputs))
	for i, o := range t.Outputs {
		outputs[i] = &refractv1.Output{
			Index:       int32(o.Index), //nolint:gosec // Counts result links of one answer, which is bounded.
			ContentType: o.ContentType,
			SizeBytes:   o.SizeBytes,
			Sha256:      hex.EncodeToString(o.SHA256),
			DownloadUri: fmt.Sprintf("%s/v1/tasks/%s/outputs/%d", s.baseURL, t.ID, o.Index),
			Width:       int32(o.Width),  //nolint:gosec // 16 bits in the file.
			Height:      int32(o.Height), //nolint:gosec // 16 bits in the file.
			VideoCodec:  o.VideoCodec,
		}
		if o.Duration > 0 {
			outputs[i].Duration = durationpb.New(o.Duration)
		}
		if !o.ExpireTime.IsZero() {
			outputs[i].ExpireTime = timestamppb.New(o.ExpireTime)
		}
		if o.Expired {
			outputs[i].DownloadUri = ""
		}
	}
	return outputs
}

// signOutputs adds what only the answer to one tenant about one task holds: events and lists are kept and passed on, and
// an address that is a secret for an hour has no place there.
func (s *TaskService) signOutputs(ctx context.Context, t *task.Task, outputs []*refractv1.Output) {
	if s.sign == nil {
		return
	}
	for i, o := range t.Outputs {
		if o.Expired {
			continue
		}
		if uri, expire := s.sign(ctx, t.ID, o); uri != "" {
			outputs[i].SignedUri, outputs[i].SignedUriExpireTime = uri, timestamppb.New(expire)
		}
	}
}

// event converts an event. t is the task that a SUCCEEDED event takes its outputs from.
func (s *TaskService) event(e *task.Event, t *task.Task) *refractv1.TaskEvent {
	m := &refractv1.TaskEvent{
		Revision:   e.Revision,
		CreateTime: timestamppb.New(e.CreateTime),
		State:      stateOf(e.State),
		Attempt:    int32(e.Attempt), //nolint:gosec // Counts tries of one task.
		Message:    e.Message,
		Failure:    failure(e.Failure),
	}
	if e.State == task.Succeeded {
		m.Outputs = s.outputs(t)
	}
	return m
}
