package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// RequestMetrics measures requests: their number, their status and how long they took. The names and labels are those of the
// semantic conventions of OpenTelemetry, with the listener added. A label never has text of the client: a request is counted by
// the template of its route, and one without a route by "_OTHER".
type RequestMetrics struct {
	duration metric.Float64Histogram
	active   metric.Int64UpDownCounter
}

// NewRequestMetrics makes the instruments of a meter.
func NewRequestMetrics(meter metric.Meter) (*RequestMetrics, error) {
	duration, err := meter.Float64Histogram("http.server.request.duration", metric.WithUnit("s"), metric.WithDescription(
		"Duration of HTTP requests, by listener, template of the route, method and status. Streams and downloads count until they end."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of HTTP requests: %w", err)
	}
	active, err := meter.Int64UpDownCounter("http.server.active_requests", metric.WithDescription(
		"HTTP requests in progress, streams and downloads included, by listener."))
	if err != nil {
		return nil, fmt.Errorf("make the gauge of HTTP requests: %w", err)
	}
	return &RequestMetrics{duration, active}, nil
}

// unrouted is the route of requests that have none, and the method of those with a method that HTTP does not define.
const unrouted = "_OTHER"

// measure measures what next serves. A nil receiver measures nothing.
func (m *RequestMetrics) measure(listener string, next http.Handler) http.Handler {
	if m == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := unrouted
		ctx := context.WithValue(r.Context(), routeKey{}, &route)
		measured := &statusWriter{ResponseWriter: w}
		began, panicked := time.Now(), true
		count := context.WithoutCancel(ctx) // A client that leaves counts as well.
		m.active.Add(count, 1, metric.WithAttributes(attribute.String("listener", listener)))
		defer func() {
			m.active.Add(count, -1, metric.WithAttributes(attribute.String("listener", listener)))
			m.duration.Record(count, time.Since(began).Seconds(), metric.WithAttributes(
				attribute.String("listener", listener),
				attribute.String("http.route", route),
				attribute.String("http.request.method", knownMethod(r.Method)),
				attribute.Int("http.response.status_code", measured.final(panicked))))
		}()
		next.ServeHTTP(measured, r.WithContext(ctx))
		panicked = false
	})
}

// routeKey is the context key of the template of a request's route, a *string.
type routeKey struct{}

// setRoute notes the route of a request for its metrics. Only templates may be passed, never the path of a request.
func setRoute(ctx context.Context, template string) {
	if route, ok := ctx.Value(routeKey{}).(*string); ok {
		*route = template
	}
}

// templateOf returns the template of a pattern as the contract spells it.
func templateOf(pattern runtime.Pattern) string {
	return strings.ReplaceAll(pattern.String(), "=*}", "}")
}

func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return unrouted
	}
}

// statusWriter records the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int // 0 until the answer begins.
}

// WriteHeader records a final status.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && isFinal(status) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = unnamedStatus
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap returns the writer for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// final returns the status that the client got. A handler that panicked before its answer began sent none.
func (w *statusWriter) final(panicked bool) int {
	switch {
	case w.status != 0:
		return w.status
	case panicked:
		return panickedStatus
	default:
		return unnamedStatus
	}
}
