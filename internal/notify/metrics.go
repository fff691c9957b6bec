package notify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const (
	// backlogAge is how old the observed backlog may be, so that many scrapes cost one query.
	backlogAge = 15 * time.Second
	// backlogTimeout bounds that query.
	backlogTimeout = 2 * time.Second
)

// lagBounds reach from an event that is sent at once to the last attempt of the schedule.
var lagBounds = metric.WithExplicitBucketBoundaries(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 2*3600, 6*3600, 24*3600, 3*24*3600)

// metrics count and measure attempts and deliveries.
type metrics struct {
	attempts    metric.Int64Counter
	deliveries  metric.Int64Counter
	firstLag    metric.Float64Histogram
	deliveryLag metric.Float64Histogram
}

func newMetrics(meter metric.Meter) (*metrics, error) {
	attempts, err := meter.Int64Counter("refract_webhook_attempts", metric.WithDescription(
		"Requests to webhook endpoints, by outcome: succeeded, status, redirect, gone, throttled, timeout, blocked, unresolved, tls, unreachable, malformed, too_large, or internal."))
	if err != nil {
		return nil, fmt.Errorf("make the counter of webhook attempts: %w", err)
	}
	deliveries, err := meter.Int64Counter("refract_webhook_deliveries",
		metric.WithDescription("Deliveries of events that ended, by state: SUCCEEDED or FAILED."))
	if err != nil {
		return nil, fmt.Errorf("make the counter of webhook deliveries: %w", err)
	}
	firstLag, err := meter.Float64Histogram("refract_webhook_first_attempt_lag", metric.WithUnit("s"), lagBounds,
		metric.WithDescription("Time from an event to the first request that sends it, also where it is sent again by request."))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of first attempts: %w", err)
	}
	deliveryLag, err := meter.Float64Histogram("refract_webhook_delivery_lag", metric.WithUnit("s"), lagBounds,
		metric.WithDescription("Time from an event to the request that delivered it, also where it is sent again by request."))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of deliveries: %w", err)
	}
	return &metrics{attempts, deliveries, firstLag, deliveryLag}, nil
}

// attempted counts an attempt, also one of ours that sent nothing.
func (m *metrics) attempted(ctx context.Context, o outcome) {
	m.attempts.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", string(o))))
}

// stored counts a result that was stored.
func (m *metrics) stored(ctx context.Context, r Result) {
	lag := r.Attempt.StartTime.Sub(r.Delivery.EventTime).Seconds()
	if r.Delivery.Attempts == 0 {
		m.firstLag.Record(ctx, lag)
	}
	if r.State == DeliverySucceeded {
		m.deliveryLag.Record(ctx, lag+r.Attempt.Duration.Seconds())
	}
	if r.State != DeliveryPending {
		m.deliveries.Add(ctx, 1, metric.WithAttributes(attribute.String("state", string(r.State))))
	}
}

// backlogs reads the backlog for several metrics at once.
type backlogs struct {
	read func(ctx context.Context) (Backlog, error)
	now  func() time.Time

	mu    sync.Mutex
	known Backlog
	err   error     // Of the last read.
	at    time.Time // Of the last read; zero before.
}

// observeBacklog makes the backlog a metric, as the database has it for all replicas.
func observeBacklog(meter metric.Meter, b *backlogs) error {
	_, err := meter.Int64ObservableGauge("refract_webhook_backlog",
		metric.WithDescription("Deliveries that wait, of all replicas, counted up to 1,000,001."),
		b.observe(func(known Backlog) int64 { return known.Pending }))
	if err != nil {
		return fmt.Errorf("make the metric of waiting deliveries: %w", err)
	}
	_, err = meter.Int64ObservableGauge("refract_webhook_oldest_event", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest event that waits for an enabled endpoint, or 0."),
		b.observe(func(known Backlog) int64 {
			if known.OldestEvent.IsZero() {
				return 0
			}
			return int64(max(b.now().Sub(known.OldestEvent), 0).Seconds())
		}))
	if err != nil {
		return fmt.Errorf("make the metric of the oldest event: %w", err)
	}
	_, err = meter.Int64ObservableGauge("refract_webhook_disabled_endpoints",
		metric.WithDescription("Endpoints that are disabled because they are gone or fail, of all replicas."),
		b.observe(func(known Backlog) int64 { return known.Disabled }))
	if err != nil {
		return fmt.Errorf("make the metric of disabled endpoints: %w", err)
	}
	return nil
}

func (b *backlogs) observe(value func(Backlog) int64) metric.Int64ObservableGaugeOption {
	return metric.WithInt64Callback(func(ctx context.Context, o metric.Int64Observer) error {
		known, err := b.recent(ctx)
		if err != nil {
			return err
		}
		o.Observe(value(known))
		return nil
	})
}

// recent returns the backlog, at most backlogAge old. A failure is as old at most: it must not cost each metric of a scrape the timeout.
func (b *backlogs) recent(ctx context.Context) (Backlog, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.at.IsZero() && time.Since(b.at) < backlogAge {
		return b.known, b.err
	}
	ctx, cancel := context.WithTimeout(ctx, backlogTimeout)
	defer cancel()
	b.known, b.err = b.read(ctx)
	b.at = time.Now()
	return b.known, b.err
}
