package tracing

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Transport returns a transport that makes each request of a recorded span a span of its own, and passes all others on untouched. The
// server learns nothing of the trace: providers and their hosts are strangers.
func Transport(base http.RoundTripper) http.RoundTripper {
	return newTransport(base, propagation.NewCompositeTextMapPropagator())
}

// PropagatingTransport is Transport for servers of callers, to whom it sends the trace context, so that they can continue the trace.
func PropagatingTransport(base http.RoundTripper) http.RoundTripper {
	return newTransport(base, propagation.TraceContext{})
}

func newTransport(base http.RoundTripper, propagator propagation.TextMapPropagator) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{base: base, Transport: otelhttp.NewTransport(base,
		otelhttp.WithFilter(func(r *http.Request) bool { return trace.SpanFromContext(r.Context()).IsRecording() }),
		otelhttp.WithPropagators(propagator), otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()))}
}

// transport adds to otelhttp's what http.Client.CloseIdleConnections looks for.
type transport struct {
	*otelhttp.Transport

	base http.RoundTripper
}

// Unwrap returns the transport that makes the requests.
func (t *transport) Unwrap() http.RoundTripper { return t.base }

// CloseIdleConnections closes those of the transport that makes the requests.
func (t *transport) CloseIdleConnections() {
	if idle, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
}

// InternalHandler returns a handler that gives each request for a path below prefix a span of traces, which continues the caller's
// trace. The requests carry the span's context on in their header. Without traces it returns next.
//
// The name of a span is the method, until Route adds the route: a path may have a token in it.
func InternalHandler(next http.Handler, traces trace.TracerProvider, prefix string) http.Handler {
	if traces == nil {
		return next
	}
	continued := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		propagation.TraceContext{}.Inject(r.Context(), propagation.HeaderCarrier(r.Header))
		next.ServeHTTP(w, r)
	})
	return newHandler(continued, traces, otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithFilter(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, prefix) }))
}

// PublicHandler returns a handler that gives each request a span of traces, named by a route. The header of a request has no say:
// strangers can neither name a trace nor decide that one is sampled. Without traces it returns next.
func PublicHandler(next http.Handler, traces trace.TracerProvider, pattern string) http.Handler {
	if traces == nil {
		return next
	}
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Route(r, pattern)
		next.ServeHTTP(w, r)
	})
	return newHandler(named, traces, otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()))
}

func newHandler(next http.Handler, traces trace.TracerProvider, options ...otelhttp.Option) http.Handler {
	return otelhttp.NewHandler(next, "", append(options, otelhttp.WithTracerProvider(traces),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }))...)
}

// Route names the span of a request by its route, such as /v1/tasks/{task_id}.
func Route(r *http.Request, pattern string) {
	if span := trace.SpanFromContext(r.Context()); span.IsRecording() {
		span.SetName(r.Method + " " + pattern)
		span.SetAttributes(attribute.String("http.route", pattern))
	}
}
