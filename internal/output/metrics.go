package output

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
)

// saveMetrics counts saves by outcome, and measures their tries and the remaining lifetime of links.
type saveMetrics struct {
	outcomes metric.Int64Counter
	bytes    metric.Int64Counter
	tries    metric.Float64Histogram
	left     metric.Float64Histogram
}

// newSaveMetrics makes the instruments of a meter, and the counters of given-up saves of accounts: Prometheus sees an increase only of
// what it has seen before.
func newSaveMetrics(ctx context.Context, meter metric.Meter, accounts upstream.Accounts) (*saveMetrics, error) {
	outcomes, err := meter.Int64Counter("refract_output_saves", metric.WithDescription(
		"Attempts whose outputs were saved, or given up, by account and outcome: saved, no_links, not_ready, not_video, too_large, blocked, link_dead, or unreachable."))
	if err != nil {
		return nil, fmt.Errorf("make the counter of saves: %w", err)
	}
	bytes, err := meter.Int64Counter("refract_output_saved", metric.WithUnit("By"),
		metric.WithDescription("Bytes of outputs that were saved, by account."))
	if err != nil {
		return nil, fmt.Errorf("make the counter of saved bytes: %w", err)
	}
	tries, err := meter.Float64Histogram("refract_output_try", metric.WithUnit("s"),
		metric.WithDescription("Duration of tries to save the outputs of an attempt, by account and outcome: saved, failed, or interrupted (by a stop; another replica goes on)."),
		metric.WithExplicitBucketBoundaries(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of tries to save: %w", err)
	}
	left, err := meter.Float64Histogram("refract_output_link_left", metric.WithUnit("s"),
		metric.WithDescription("How long the provider's links still live at least when a try to save their files begins, by account."),
		metric.WithExplicitBucketBoundaries(0, 60, 300, 900, 1800, 3600, 6*3600, 12*3600, 18*3600, 23*3600, 24*3600))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of remaining link lifetimes: %w", err)
	}
	m := &saveMetrics{outcomes, bytes, tries, left}
	for account := range accounts {
		for _, class := range failures {
			outcomes.Add(ctx, 0, metric.WithAttributes(attribute.String("account", account), attribute.String("outcome", class.outcome)))
		}
	}
	return m, nil
}

// begin measures how long links live when a try begins.
func (m *saveMetrics) begin(ctx context.Context, account string, left time.Duration) {
	m.left.Record(ctx, left.Seconds(), metric.WithAttributes(attribute.String("account", account)))
}

// tried measures a try that began at a time.
func (m *saveMetrics) tried(ctx context.Context, account, outcome string, began time.Time) {
	m.tries.Record(ctx, time.Since(began).Seconds(),
		metric.WithAttributes(attribute.String("account", account), attribute.String("outcome", outcome)))
}

func (m *saveMetrics) saved(ctx context.Context, account string, outputs []task.Output) {
	m.count(ctx, account, "saved")
	for _, o := range outputs {
		m.bytes.Add(ctx, o.SizeBytes, metric.WithAttributes(attribute.String("account", account)))
	}
}

func (m *saveMetrics) failed(ctx context.Context, account string, err error) {
	for _, class := range failures {
		if class.err == nil || errors.Is(err, class.err) {
			m.count(ctx, account, class.outcome)
			return
		}
	}
}

// failures are the outcomes of saves that were given up. The last one is for every other error.
var failures = []struct {
	err     error
	outcome string
}{
	{errNoLinks, "no_links"},
	{errNotReady, "not_ready"},
	{media.ErrNotVideo, "not_video"},
	{media.ErrTooLarge, "too_large"},
	{media.ErrBlocked, "blocked"},
	{media.ErrLinkDead, "link_dead"},
	{nil, "unreachable"},
}

func (m *saveMetrics) count(ctx context.Context, account, outcome string) {
	m.outcomes.Add(ctx, 1, metric.WithAttributes(attribute.String("account", account), attribute.String("outcome", outcome)))
}
