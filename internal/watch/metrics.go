package watch

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Metrics measures the streams of a hub, and its reads of the log. Nil measures nothing.
type Metrics struct {
	streams metric.Int64UpDownCounter
	lag     metric.Float64Histogram
	reads   metric.Float64Histogram
	now     func() time.Time

	swept atomic.Pointer[time.Time] // When the newest sweep succeeded; nil before.
}

// NewMetrics makes the instruments of a meter. now is the time by the database's clock, which dates events.
func NewMetrics(meter metric.Meter, now func() time.Time) (*Metrics, error) {
	streams, err := meter.Int64UpDownCounter("refract_watch_streams",
		metric.WithDescription("Watches of this replica, by kind: task, or tenant."))
	if err != nil {
		return nil, fmt.Errorf("make the gauge of streams: %w", err)
	}
	lag, err := meter.Float64Histogram("refract_watch_lag", metric.WithUnit("s"),
		metric.WithDescription("Time from the transaction of an event until a stream that was waiting for it has sent it. History that a stream begins with does not count."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of the lag of streams: %w", err)
	}
	reads, err := meter.Float64Histogram("refract_watch_read", metric.WithUnit("s"),
		metric.WithDescription("Duration of reads of the table of events, by reader (stream, or sweep) and outcome: ok, or failed."),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of reads of events: %w", err)
	}
	m := &Metrics{streams: streams, lag: lag, reads: reads, now: now}
	_, err = meter.Float64ObservableGauge("refract_watch_sweep_age", metric.WithUnit("s"),
		metric.WithDescription("Time since this replica last read the log of events to its end. It stays below a second or two while the log can be read."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			if at := m.swept.Load(); at != nil {
				o.Observe(time.Since(*at).Seconds())
			}
			return nil
		}))
	if err != nil {
		return nil, fmt.Errorf("make the metric of the newest sweep: %w", err)
	}
	return m, nil
}

// open counts a stream until the returned function is called.
func (m *Metrics) open(ctx context.Context, kind string) (closed func()) {
	if m == nil {
		return func() {}
	}
	ctx = context.WithoutCancel(ctx) // The end of a stream counts as well.
	m.streams.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", kind)))
	return func() { m.streams.Add(ctx, -1, metric.WithAttributes(attribute.String("kind", kind))) }
}

// sent measures an event that a stream has sent. live says that the stream was waiting for it.
func (m *Metrics) sent(ctx context.Context, live bool, created time.Time) {
	if m != nil && live {
		m.lag.Record(ctx, max(m.now().Sub(created), 0).Seconds())
	}
}

// read measures a read that began at a time.
func (m *Metrics) read(ctx context.Context, reader string, began time.Time, err error) {
	if m == nil {
		return
	}
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.reads.Record(ctx, time.Since(began).Seconds(),
		metric.WithAttributes(attribute.String("reader", reader), attribute.String("outcome", outcome)))
}

// sweptNow records that a sweep has read the log to its end.
func (m *Metrics) sweptNow() {
	if m != nil {
		m.swept.Store(new(time.Now()))
	}
}
