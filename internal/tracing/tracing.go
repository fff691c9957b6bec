// Package tracing puts the story of a task into one trace.
//
// The trace context of the submit is stored with the task, as the header traceparent of W3C Trace Context. Work on the task, on whatever
// replica and however much later, continues that trace: its spans are children of the submit's span. Work that another request
// causes, such as a callback or a cancellation, has a span in the task's trace that is linked to the span of that request, and the
// other way round. A span lasts as long as the work; the time in which a task waits has no span.
//
// The stored context has the caller's sampling decision, which the sampler of each replica follows unless an operator sets another one
// than a parent-based one. Without a trace context there is no span: a task whose submit had none has no trace, and loops begin none.
//
// The tracer is the process's own. While it does nothing, [Start] and [Transport] cost no allocation for tasks without a trace context.
package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// scope names the spans of Refract among those of libraries.
const scope = "github.com/refract-video/refract"

// Parent returns the trace context of the current span as it is stored with a task: the header traceparent, of 55 bytes. It is empty
// without a span.
func Parent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	var header traceParent
	propagation.TraceContext{}.Inject(ctx, &header)
	return string(header)
}

// Resume returns a context in which the trace of a task goes on. The current span stays where it is a part of that trace. An empty or
// malformed parent changes nothing.
func Resume(ctx context.Context, parent string) context.Context {
	if parent == "" {
		return ctx
	}
	stored := contextOf(parent)
	if !stored.IsValid() || stored.TraceID() == trace.SpanContextFromContext(ctx).TraceID() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, stored)
}

// Start starts a span of a task's trace and returns a context with it. It began at a time in the past where start is not zero, for work
// that finds out only while it is done which task it is about. The caller must end the span.
func Start(ctx context.Context, parent, name string, start time.Time) (context.Context, trace.Span) {
	cause := trace.SpanFromContext(ctx)
	ctx = Resume(ctx, parent)
	resumed := trace.SpanContextFromContext(ctx)
	if !resumed.IsValid() {
		return ctx, cause // It does nothing.
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal)}
	if !start.IsZero() {
		options = append(options, trace.WithTimestamp(start))
	}
	request := cause.SpanContext()
	linked := request.IsValid() && request.TraceID() != resumed.TraceID()
	if linked {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: request}))
	}
	ctx, span := otel.Tracer(scope).Start(ctx, name, options...)
	if linked && span.IsRecording() {
		cause.AddLink(trace.Link{SpanContext: span.SpanContext()})
	}
	return ctx, span
}

// StartCall starts a span of a call to another service, as a child of the current span. Without one it does nothing.
func StartCall(ctx context.Context, name string) (context.Context, trace.Span) {
	if current := trace.SpanFromContext(ctx); !current.SpanContext().IsValid() {
		return ctx, current
	}
	return otel.Tracer(scope).Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
}

// End ends a span. An outcome that is not empty makes it that of a failure, in one word.
func End(span trace.Span, outcome string) {
	if outcome != "" && span.IsRecording() {
		span.SetStatus(codes.Error, outcome)
		span.SetAttributes(errorType.String(outcome))
	}
	span.End()
}

// contextOf returns the trace context of a header traceparent. It is not valid where the header is malformed.
func contextOf(parent string) trace.SpanContext {
	header := traceParent(parent)
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), &header))
}

// traceParent is a carrier of the header traceparent alone.
type traceParent string

// Get implements propagation.TextMapCarrier.
func (h *traceParent) Get(key string) string {
	if key != "traceparent" {
		return ""
	}
	return string(*h)
}

// Set implements propagation.TextMapCarrier.
func (h *traceParent) Set(key, value string) {
	if key == "traceparent" {
		*h = traceParent(value)
	}
}

// Keys implements propagation.TextMapCarrier.
func (*traceParent) Keys() []string { return []string{"traceparent"} }
