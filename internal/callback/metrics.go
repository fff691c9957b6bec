package callback

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// receiverMetrics counts callbacks by verdict, and measures how long one takes to be stored.
type receiverMetrics struct {
	verdicts metric.Int64Counter
	lag      metric.Float64Histogram
}

func newReceiverMetrics(meter metric.Meter) (*receiverMetrics, error) {
	verdicts, err := newVerdicts(meter)
	if err != nil {
		return nil, err
	}
	lag, err := meter.Float64Histogram("refract_callback_lag", metric.WithUnit("s"), metric.WithDescription(
		"Time from the receipt of the body of a callback to the commit of its verdict, by provider account. Callbacks that were not stored do not count."),
		metric.WithExplicitBucketBoundaries(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
	if err != nil {
		return nil, fmt.Errorf("create the histogram of callbacks: %w", err)
	}
	return &receiverMetrics{verdicts, lag}, nil
}

func (m *receiverMetrics) count(ctx context.Context, account, verdict string) {
	count(ctx, m.verdicts, account, verdict)
}

// stored measures a callback whose verdict is committed now, some time after its body was received.
func (m *receiverMetrics) stored(ctx context.Context, account string, after time.Duration) {
	m.lag.Record(ctx, after.Seconds(), metric.WithAttributes(attribute.String("account", account)))
}
