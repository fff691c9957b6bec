package server

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
)

// TestMetrics_OneThatCollidesCostsOnlyItself has two libraries count under one name, as two kinds of bucket do: the exporter
// leaves out by what they differ.
func TestMetrics_OneThatCollidesCostsOnlyItself(t *testing.T) {
	t.Parallel()
	tel, err := startTelemetry(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.stop(context.WithoutCancel(t.Context())) })
	for _, library := range []string{"a", "b"} {
		counter, err := tel.meters.Meter(library).Int64Counter("collides")
		if err != nil {
			t.Fatal(err)
		}
		counter.Add(t.Context(), 1)
	}
	server := httptest.NewServer(tel.metrics)
	t.Cleanup(server.Close)
	status, body := get(t, server.URL)
	if status != http.StatusOK || !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "collides_total") {
		t.Errorf("answered %d: %s", status, body)
	}
	if _, body = get(t, server.URL); !strings.Contains(body, `promhttp_metric_handler_errors_total{cause="gathering"} 1`) {
		t.Errorf("the metric that was left out is not counted: %s", body)
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// TestTelemetry_SamplesAsTheEnvironmentSays begins traces with the samplers that the standard variables name.
func TestTelemetry_SamplesAsTheEnvironmentSays(t *testing.T) {
	for sampler, sampled := range map[string]bool{"": true, "parentbased_always_on": true, "parentbased_always_off": false} {
		t.Run(cmp.Or(sampler, "default"), func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv("OTEL_TRACES_SAMPLER", sampler)
			before := otel.GetTracerProvider()
			t.Cleanup(func() { otel.SetTracerProvider(before) })
			tel, err := startTelemetry(t.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			_, span := tel.traces.Tracer("test").Start(t.Context(), "a trace that begins here")
			if got := span.SpanContext().IsSampled(); got != sampled {
				t.Errorf("sampled: %t, want %t", got, sampled)
			}
			stopped, cancel := context.WithCancel(t.Context())
			cancel() // There is no collector to wait for.
			_ = tel.stop(stopped)
		})
	}
}

func TestTelemetry_WithoutACollectorThereAreNoTraces(t *testing.T) {
	for name, value := range map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(name, value)
			tel, err := startTelemetry(t.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = tel.stop(context.WithoutCancel(t.Context())) })
			if tel.traces != nil {
				t.Error("there are traces")
			}
		})
	}
}
