package lifecycle_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/tracing"
)

// inTrace returns a context with a sampled trace context of a caller, and what is stored of it.
func inTrace(ctx context.Context, id byte) (context.Context, string) {
	ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{id}, SpanID: trace.SpanID{id}, TraceFlags: trace.FlagsSampled,
	}))
	return ctx, tracing.Parent(ctx)
}

func TestSubmit_StoresTheTraceContextOfTheFirstCall(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, parent := inTrace(t.Context(), 1)
	all := []lifecycle.Submission{{RequestID: newID(), Spec: plain()}, {RequestID: newID(), Spec: plain()}}
	for i, r := range s.SubmitAll(first, "films", all) {
		if r.Err != nil || r.Task.TraceParent != parent {
			t.Errorf("task %d of a batch has trace context %q, %v, want %q", i, r.Task.TraceParent, r.Err, parent)
		}
	}
	again, _ := inTrace(t.Context(), 2)
	if got, err := s.Submit(again, "films", all[0].RequestID, plain()); err != nil || got.TraceParent != parent {
		t.Errorf("a repeated submit has trace context %q, %v, want the first one", got.TraceParent, err)
	}
	canceled, err := s.Submit(first, "films", newID(), plain())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cancel(again, "films", canceled.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Retry(again, "films", canceled.ID, false); err != nil || got.TraceParent != parent {
		t.Errorf("a retry has trace context %q, %v, want that of the submit", got.TraceParent, err)
	}
	if got := s.submit(t, plain()); got.TraceParent != "" {
		t.Errorf("a submit without a trace stored %q", got.TraceParent)
	}
}

// TestVerbs_ContinueTheTrace records the spans of the process, so it can't be parallel.
func TestVerbs_ContinueTheTrace(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	s := setup(t)
	caller, _ := inTrace(t.Context(), 3)
	submitted, err := s.Submit(caller, "films", newID(), plain())
	if err != nil {
		t.Fatal(err)
	}
	s.submit(t, plain()) // A task without a trace.
	s.admit(t)
	s.exec(t, "UPDATE task SET deadline_time = now() - interval '1 h'")
	for range 2 { // The second round finds nothing to end.
		if _, err := s.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Cancel(caller, "films", submitted.ID); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, span := range recorder.Ended() {
		if span.SpanContext().TraceID() != (trace.TraceID{3}) || span.Parent().SpanID() != (trace.SpanID{3}) {
			t.Errorf("%s has parent %v, want the submit", span.Name(), span.Parent())
		}
		names = append(names, span.Name())
	}
	if diff := cmp.Diff([]string{"admit task", "expire task", "cancel task"}, names); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}
