package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/tracing"
)

// telemetry is the metrics and traces of the process.
type telemetry struct {
	meter   metric.Meter
	meters  metric.MeterProvider // The one of meter. The global one is for libraries that take none.
	metrics http.Handler
	traces  trace.TracerProvider // The global one; nil without a collector, so that nothing is spent on spans.
	stop    func(context.Context) error
}

// startTelemetry makes metrics available to Prometheus, and sends traces where the standard OpenTelemetry
// environment variables name a collector. The secrets leave in no span.
func startTelemetry(ctx context.Context, log *slog.Logger, secrets ...string) (*telemetry, error) {
	logTelemetry(log)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("start metrics: %w", err)
	}
	res, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "refract")), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("describe the service to telemetry: %w", err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithResource(res))
	otel.SetMeterProvider(meters)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	t := &telemetry{
		meter:  meters.Meter("refract"),
		meters: meters,
		// A metric that can't be gathered costs only itself; promhttp_metric_handler_errors_total counts it.
		metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, Registry: registry}),
		stop:    meters.Shutdown,
	}
	if collectorNamed() {
		spans, err := newSpanExporter(ctx)
		if err != nil {
			return nil, fmt.Errorf("start traces: %w", err)
		}
		// The sampler is the environment's, by default a parent-based one that samples every trace that begins here.
		traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracing.Guard(spans, secrets...)), sdktrace.WithResource(res))
		otel.SetTracerProvider(traces)
		t.traces = traces
		t.stop = func(ctx context.Context) error { return errors.Join(traces.Shutdown(ctx), meters.Shutdown(ctx)) }
	}
	return t, nil
}

// logTelemetry sends what telemetry has to say to the log. By default it prints what it meets, addresses and headers included.
func logTelemetry(log *slog.Logger) {
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("telemetry failed", "error", err)
	}))
}

// collectorNamed reports whether the environment names a collector and does not switch tracing off.
func collectorNamed() bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// newSpanExporter speaks the protocol that the environment names: http/protobuf, which is the standard's
// default, or grpc. The exporter reads the rest of its settings from the environment itself.
func newSpanExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	if cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")) == "grpc" {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// NewLogger returns the service's log.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	options := &slog.HandlerOptions{Level: least}
	if format == "text" {
		return slog.New(redact.NewHandler(slog.NewTextHandler(w, options))), nil
	}
	return slog.New(redact.NewHandler(slog.NewJSONHandler(w, options))), nil
}
