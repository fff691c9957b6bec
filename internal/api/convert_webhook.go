package api

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/task"
)

// eventPrefix begins the names of the types of events in the contract. The state of the task follows.
const eventPrefix = "WEBHOOK_EVENT_TYPE_TASK_"

func eventTypeOf(s task.State) refractv1.WebhookEventType {
	return refractv1.WebhookEventType(refractv1.WebhookEventType_value[eventPrefix+string(s)])
}

// eventStates returns the states of the types of events that a request names, in the order of a task's life.
func eventStates(types []refractv1.WebhookEventType) []task.State {
	var states []task.State
	for _, s := range notify.Subscribable {
		if slices.Contains(types, eventTypeOf(s)) {
			states = append(states, s)
		}
	}
	return states
}

func disableReasonOf(r notify.DisableReason) refractv1.WebhookDisableReason {
	return refractv1.WebhookDisableReason(refractv1.WebhookDisableReason_value["WEBHOOK_DISABLE_REASON_"+string(r)])
}

func deliveryStateOf(s notify.DeliveryState) refractv1.WebhookDeliveryState {
	return refractv1.WebhookDeliveryState(refractv1.WebhookDeliveryState_value["WEBHOOK_DELIVERY_STATE_"+string(s)])
}

// endpoint converts an endpoint, without its secrets.
func (s *WebhookService) endpoint(e *notify.Endpoint) *refractv1.WebhookEndpoint {
	m := &refractv1.WebhookEndpoint{
		Id: string(e.ID), Url: e.URL, Description: e.Description, Labels: e.Labels, RateLimit: count32(e.RateLimit),
		Enabled: e.Disabled == "", DisableReason: disableReasonOf(e.Disabled),
		CreateTime: timestamppb.New(e.CreateTime), UpdateTime: timestamppb.New(e.UpdateTime),
	}
	for _, state := range e.States {
		m.EventTypes = append(m.EventTypes, eventTypeOf(state))
	}
	if e.Disabled != "" {
		m.DisableTime = timestamppb.New(e.DisableTime)
	}
	if !e.FailingTime.IsZero() {
		m.FailingSinceTime = timestamppb.New(e.FailingTime)
	}
	now := s.now()
	if e.PausedUntil.After(now) {
		m.PausedUntilTime = timestamppb.New(e.PausedUntil)
	}
	if e.Secrets.Previous != nil && e.Secrets.PreviousExpire.After(now) {
		m.PreviousSecretExpireTime = timestamppb.New(e.Secrets.PreviousExpire)
	}
	return m
}

// delivery converts a delivery, without its attempts.
func delivery(d *notify.Delivery) *refractv1.WebhookDelivery {
	m := &refractv1.WebhookDelivery{
		EndpointId: string(d.Endpoint), EventId: d.Event.String(), EventType: eventTypeOf(d.TaskState), TaskId: string(d.Event.Task), Revision: d.Event.Revision,
		State: deliveryStateOf(d.State), AttemptCount: count32(d.Attempts), EventTime: timestamppb.New(d.EventTime),
	}
	if d.State == notify.DeliveryPending && !d.NextAttempt.IsZero() {
		m.NextAttemptTime = timestamppb.New(d.NextAttempt)
	}
	return m
}

func webhookAttempt(a *notify.Attempt) *refractv1.WebhookAttempt {
	return &refractv1.WebhookAttempt{
		StartTime: timestamppb.New(a.StartTime), DurationMs: a.Duration.Milliseconds(), HttpStatus: count32(a.Status), Error: a.Error,
		Answer: strings.ToValidUTF8(a.Answer, "\uFFFD"),
	}
}

// WebhookTask returns a task as GetTask shows it, without what it waits for. Its outputs have signed links that are minted now.
// It may be called concurrently.
func (s *TaskService) WebhookTask(ctx context.Context, t task.Task, detail notify.Detail) *refractv1.Task {
	m := s.task(&t)
	if detail >= notify.WithoutInputs {
		m.Prompt, m.Parameters, m.Source, m.FirstFrameUri, m.Labels = "", nil, nil, "", nil
	}
	if detail < notify.WithoutLinks {
		s.signOutputs(ctx, &t, m.GetOutputs())
	}
	return m
}
