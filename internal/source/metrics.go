package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
)

// Metrics measures preparations. Nil measures nothing.
type Metrics struct{ tries metric.Float64Histogram }

// NewMetrics makes the instrument of a meter.
func NewMetrics(meter metric.Meter) (*Metrics, error) {
	tries, err := meter.Float64Histogram("refract_source_preparation", metric.WithUnit("s"), metric.WithDescription(
		"Duration of tries to prepare a source in the background, by account and outcome: ready, unfit, unreachable, refused (by the provider), storage, interrupted, or error. An account that is not configured is unknown."),
		metric.WithExplicitBucketBoundaries(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 720))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of preparations: %w", err)
	}
	return &Metrics{tries}, nil
}

// tried measures a try that began at a time.
func (m *Metrics) tried(ctx context.Context, account string, began time.Time, err error) {
	if m == nil {
		return
	}
	outcome := outcomeOf(err)
	if ctx.Err() != nil {
		outcome = "interrupted"
	}
	m.tries.Record(ctx, time.Since(began).Seconds(),
		metric.WithAttributes(attribute.String("account", account), attribute.String("outcome", outcome)))
}

// outcomeOf names the result of a try, in the order in which settle looks at it.
func outcomeOf(err error) string {
	_, unfit := errors.AsType[*UnfitError](err)
	_, refused := errors.AsType[*provider.Error](err)
	_, unreachable := errors.AsType[*media.UnreachableError](err)
	switch {
	case err == nil:
		return "ready"
	case errors.Is(err, media.ErrStorage):
		return "storage"
	case unfit:
		return "unfit"
	case refused:
		return "refused"
	case unreachable:
		return "unreachable"
	default:
		return "error"
	}
}
