package groupcommit

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Metrics measures the commits of groups. One of them serves several groups, which their names distinguish.
type Metrics struct {
	sizes     metric.Int64Histogram
	durations metric.Float64Histogram
}

// NewMetrics makes the instruments of a meter.
func NewMetrics(meter metric.Meter) (*Metrics, error) {
	sizes, err := meter.Int64Histogram("refract_group_commit_items",
		metric.WithDescription("Items in a set that one transaction commits together, by group."),
		metric.WithExplicitBucketBoundaries(1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of set sizes: %w", err)
	}
	durations, err := meter.Float64Histogram("refract_group_commit", metric.WithUnit("s"),
		metric.WithDescription("Duration of the transaction of a set, by group."),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of group commits: %w", err)
	}
	return &Metrics{sizes, durations}, nil
}

// Measured returns commit with measurements under the name of its group. Without metrics it returns commit itself.
func Measured[In, Out any](m *Metrics, group string, commit Commit[In, Out]) Commit[In, Out] {
	if m == nil {
		return commit
	}
	return func(ctx context.Context, items []In, results []Result[Out]) error {
		began := time.Now()
		err := commit(ctx, items, results)
		m.sizes.Record(ctx, int64(len(items)), metric.WithAttributes(attribute.String("group", group)))
		m.durations.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(attribute.String("group", group)))
		return err
	}
}
