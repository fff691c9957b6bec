package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/refract-video/refract/internal/tracing"
)

// stored is the trace context of a submit.
const (
	stored    = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// record makes the process's tracer one that records, until the test ends. Tests that use it can't be parallel.
func record(t *testing.T) (*tracetest.SpanRecorder, *sdktrace.TracerProvider) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(traces)
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	return recorder, traces
}

func TestStart_ContinuesTheStoredTrace(t *testing.T) {
	recorder, traces := record(t)
	began := time.Now().Add(-time.Minute)
	request, requestSpan := traces.Tracer("test").Start(t.Context(), "request")
	ctx, span := tracing.Start(request, stored, "work", began)
	_, inner := tracing.Start(ctx, stored, "inner work", time.Time{})
	tracing.End(inner, "too_large")
	tracing.End(span, "")
	requestSpan.End()

	spans := byName(recorder)
	work, within, cause := spans["work"], spans["inner work"], spans["request"]
	if got := work.Parent(); got.SpanID().String() != "00f067aa0ba902b7" || got.TraceID() != work.SpanContext().TraceID() || !got.IsRemote() {
		t.Errorf("the parent of the work is %v, want the stored one", got)
	}
	if !work.StartTime().Equal(began) {
		t.Errorf("the work began at %v, want %v", work.StartTime(), began)
	}
	if within.Parent().SpanID() != work.SpanContext().SpanID() || len(within.Links()) != 0 {
		t.Errorf("the inner work has parent %v and links %v, want the work and none", within.Parent(), within.Links())
	}
	if within.Status().Code != codes.Error || !slices.Contains(within.Attributes(), attribute.String("error.type", "too_large")) {
		t.Errorf("the inner work has status %v and %v", within.Status(), within.Attributes())
	}
	if !linked(work, cause) || !linked(cause, work) {
		t.Errorf("the work has links %v and the request %v, want each other", work.Links(), cause.Links())
	}
}

func TestStart_FollowsTheCallersSampling(t *testing.T) {
	recorder, _ := record(t)
	ctx, span := tracing.Start(t.Context(), unsampled, "work", time.Time{})
	_, call := tracing.StartCall(ctx, "call")
	tracing.End(call, "")
	tracing.End(span, "")
	if got := recorder.Ended(); len(got) > 0 {
		t.Errorf("%d spans are recorded, want none", len(got))
	}
	if got := tracing.Parent(ctx); !strings.HasPrefix(got, stored[:36]) || !strings.HasSuffix(got, "-00") {
		t.Errorf("the work has trace context %q, want the stored trace, not sampled", got)
	}
}

func TestStart_BeginsNoTrace(t *testing.T) {
	recorder, _ := record(t)
	for _, parent := range []string{"", "x", stored[:54], "00-00000000000000000000000000000000-00f067aa0ba902b7-01"} {
		ctx, span := tracing.Start(t.Context(), parent, "work", time.Now())
		_, call := tracing.StartCall(ctx, "call")
		tracing.End(call, "failed")
		tracing.End(span, "failed")
		if got := tracing.Parent(ctx); got != "" {
			t.Errorf("with parent %q the work has trace context %q", parent, got)
		}
	}
	if got := recorder.Ended(); len(got) > 0 {
		t.Errorf("%d spans are recorded, want none", len(got))
	}
}

func TestParent_IsWhatResumeReads(t *testing.T) {
	t.Parallel()
	for _, parent := range []string{stored, unsampled, ""} {
		if got := tracing.Parent(tracing.Resume(t.Context(), parent)); got != parent {
			t.Errorf("stored %q, want %q", got, parent)
		}
	}
}

// Without a trace context, tracing takes no memory on the way of a callback or a submit.
func TestStart_CostsNothingWithoutATrace(t *testing.T) {
	ctx, began := t.Context(), time.Now()
	if n := testing.AllocsPerRun(100, func() {
		_ = tracing.Parent(ctx)
		_, span := tracing.Start(ctx, "", "work", began)
		tracing.End(span, "failed")
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestTransport_TracesRequestsOfRecordedSpansAlone(t *testing.T) {
	recorder, traces := record(t)
	var header http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
	t.Cleanup(srv.Close)
	get := func(ctx context.Context, transport http.RoundTripper) {
		t.Helper()
		client := &http.Client{Transport: transport}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/path?signature=abc", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	get(t.Context(), tracing.Transport(&http.Transport{}))
	get(tracing.Resume(t.Context(), unsampled), tracing.Transport(&http.Transport{}))
	if got := recorder.Ended(); len(got) > 0 {
		t.Errorf("%d spans are recorded without a recorded span, want none", len(got))
	}
	ctx, span := traces.Tracer("test").Start(t.Context(), "work")
	get(ctx, tracing.Transport(&http.Transport{}))
	if header.Get("Traceparent") != "" {
		t.Errorf("a stranger got traceparent %q", header.Get("Traceparent"))
	}
	get(ctx, tracing.PropagatingTransport(&http.Transport{}))
	if !strings.Contains(header.Get("Traceparent"), span.SpanContext().TraceID().String()) {
		t.Errorf("a receiver got traceparent %q, want one of trace %v", header.Get("Traceparent"), span.SpanContext().TraceID())
	}
	if got := recorder.Ended(); len(got) != 2 || got[0].Parent().SpanID() != span.SpanContext().SpanID() || got[0].SpanKind() != trace.SpanKindClient {
		t.Errorf("%d spans are recorded, want two below the work", len(got))
	}
}

func TestHandlers_BelieveCallersAndNotStrangers(t *testing.T) {
	recorder, traces := record(t)
	var inner string
	seen := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		tracing.Route(r, "/v1/tasks/{task_id}")
		inner = r.Header.Get("Traceparent")
	})
	serve := func(h http.Handler, path string) {
		t.Helper()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		propagation.TraceContext{}.Inject(tracing.Resume(t.Context(), stored), propagation.HeaderCarrier(req.Header))
		h.ServeHTTP(httptest.NewRecorder(), req)
	}
	serve(tracing.InternalHandler(seen, traces, "/v1/"), "/v1/tasks/7")
	serve(tracing.InternalHandler(seen, traces, "/v1/"), "/metrics")
	serve(tracing.InternalHandler(seen, nil, "/v1/"), "/v1/tasks/7")
	serve(tracing.PublicHandler(http.NotFoundHandler(), traces, "/v1/callbacks/{provider}/{token}"), "/v1/callbacks/kie/token")
	spans := recorder.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans are recorded, want one for the API and one for the callback", len(spans))
	}
	if api := spans[0]; api.Name() != "GET /v1/tasks/{task_id}" || api.Parent().SpanID().String() != "00f067aa0ba902b7" {
		t.Errorf("the request of a caller is %q with parent %v", api.Name(), api.Parent())
	}
	if callback := spans[1]; callback.Name() != "GET /v1/callbacks/{provider}/{token}" || callback.Parent().IsValid() || callback.SpanContext().TraceID().String() == stored[3:35] {
		t.Errorf("the request of a stranger is %q with parent %v, want a trace of its own", callback.Name(), callback.Parent())
	}
	if inner != stored {
		t.Errorf("a handler without traces changed the header to %q", inner)
	}
}

func TestLogHandler_AddsTheTrace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(tracing.LogHandler(slog.NewTextHandler(&out, nil))).With("a", 1)
	log.InfoContext(tracing.Resume(t.Context(), unsampled), "with")
	log.InfoContext(t.Context(), "without")
	lines := strings.Split(out.String(), "\n")
	if !strings.Contains(lines[0], "a=1 trace_id=4bf92f3577b34da6a3ce929d0e0e4736") || strings.Contains(lines[1], "trace_id") {
		t.Errorf("the log is\n%s", out.String())
	}
}

func byName(r *tracetest.SpanRecorder) map[string]sdktrace.ReadOnlySpan {
	all := map[string]sdktrace.ReadOnlySpan{}
	for _, s := range r.Ended() {
		all[s.Name()] = s
	}
	return all
}

func linked(from, to sdktrace.ReadOnlySpan) bool {
	return slices.ContainsFunc(from.Links(), func(l sdktrace.Link) bool { return l.SpanContext.Equal(to.SpanContext()) })
}
