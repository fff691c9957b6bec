// Package metrictest reads in tests what instruments export, in the words of Prometheus.
package metrictest

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// Metrics has the instruments of a test.
type Metrics struct {
	metric.Meter

	registry *prometheus.Registry
}

// New returns a meter whose metrics can be read.
func New(t *testing.T) *Metrics {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		t.Fatal(err)
	}
	return &Metrics{sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)).Meter("refract"), registry}
}

// Values returns the values of the series whose names begin with a prefix, such as refract_tasks{provider="kie",state="QUEUED"}. Buckets
// of histograms are left out.
func (m *Metrics) Values(t *testing.T, prefix string) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	values := map[string]float64{}
	for line := range strings.Lines(text.String()) {
		i := strings.LastIndexByte(line, ' ')
		if !strings.HasPrefix(line, prefix) || i < 0 || strings.Contains(line, "_bucket{") {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		values[line[:i]] = value
	}
	return values
}
