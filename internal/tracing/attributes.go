package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/refract-video/refract/internal/task"
)

// The attributes of spans. Those of HTTP and gRPC are the standard's, which their libraries set.
const (
	taskID        = attribute.Key("refract.task.id")
	tenant        = attribute.Key("refract.tenant")
	model         = attribute.Key("refract.model")
	providerName  = attribute.Key("refract.provider")
	account       = attribute.Key("refract.account")
	attemptID     = attribute.Key("refract.attempt.id")
	attemptNumber = attribute.Key("refract.attempt.number")
	taskState     = attribute.Key("refract.task.state")
	providerTask  = attribute.Key("refract.provider_task.id")
	errorType     = attribute.Key("error.type")
)

// The attributes that work adds to its own span.
const (
	Account  = account
	Provider = providerName
	Event    = attribute.Key("refract.event.id")    // Of an event that is sent to a webhook endpoint.
	Endpoint = attribute.Key("refract.endpoint.id") // The endpoint.
	Size     = attribute.Key("refract.output.size") // Of a result, in bytes.
)

// Describe sets the attributes of a task, and of one of its attempts where a is not nil.
func Describe(span trace.Span, t *task.Task, a *task.Attempt) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(taskID.String(string(t.ID)), tenant.String(t.Tenant), taskState.String(string(t.State)))
	if t.Spec.Model != "" {
		span.SetAttributes(model.String(t.Spec.Model))
	}
	if a != nil {
		span.SetAttributes(providerName.String(a.Provider), account.String(a.Account),
			attemptID.String(string(a.ID)), attemptNumber.Int(a.Number))
	}
}

// DescribeQuery sets the provider's task id on the current span.
func DescribeQuery(ctx context.Context, id string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(providerTask.String(id))
	}
}
