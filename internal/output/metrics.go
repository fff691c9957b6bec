package output

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/media"
)

// saveMetrics counts saves by outcome, and measures the remaining lifetime of links.
type saveMetrics struct {
	outcomes metric.Int64Counter
	left     metric.Float64Histogram
}

func newSaveMetrics(meter metric.Meter) (*saveMetrics, error) {
	outcomes, err := meter.Int64Counter("refract_output_saves", metric.WithDescription(
		"Attempts whose outputs were saved, or given up, by account and outcome."))
	if err != nil {
		return nil, fmt.Errorf("make the counter of saves: %w", err)
	}
	left, err := meter.Float64Histogram("refract_output_link_left", metric.WithUnit("s"),
		metric.WithDescription("How long the provider's links would still have lived at least when their files were saved, by account."),
		metric.WithExplicitBucketBoundaries(0, 60, 300, 900, 1800, 3600, 6*3600, 12*3600, 18*3600, 23*3600, 24*3600))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of remaining link lifetimes: %w", err)
	}
	return &saveMetrics{outcomes, left}, nil
}

func (m *saveMetrics) saved(ctx context.Context, account string, left time.Duration) {
	m.count(ctx, account, "saved")
	m.left.Record(ctx, left.Seconds(), metric.WithAttributes(attribute.String("account", account)))
}

func (m *saveMetrics) failed(ctx context.Context, account string, err error) {
	for _, class := range []struct {
		err  error
		name string
	}{
		{errNoLinks, "no_links"},
		{errNotReady, "not_ready"},
		{media.ErrNotVideo, "not_video"},
		{media.ErrTooLarge, "too_large"},
		{media.ErrBlocked, "blocked"},
		{media.ErrLinkDead, "link_dead"},
	} {
		if errors.Is(err, class.err) {
			m.count(ctx, account, class.name)
			return
		}
	}
	m.count(ctx, account, "unreachable")
}

func (m *saveMetrics) count(ctx context.Context, account, outcome string) {
	m.outcomes.Add(ctx, 1, metric.WithAttributes(attribute.String("account", account), attribute.String("outcome", outcome)))
}
