package lifecycle

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/task"
)

// Stays measures how long tasks stay in their states. A stay is the time between two events of a task: a move to another provider, and
// the confirmation of an attempt, end one and begin another without a change of the state.
type Stays struct{ durations metric.Float64Histogram }

// NewStays makes the instrument of a meter.
func NewStays(meter metric.Meter) (*Stays, error) {
	durations, err := meter.Float64Histogram("refract_task_state_duration", metric.WithUnit("s"), metric.WithDescription(
		"Time between two events of a task, by the state and the provider that it had in between. Terminal states do not count."),
		metric.WithExplicitBucketBoundaries(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 6*3600, 24*3600))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of states: %w", err)
	}
	return &Stays{durations}, nil
}

// Stay is a stay that has ended.
type Stay struct {
	State    task.State
	Provider string
	Duration time.Duration
}

// Record measures stays. The store calls it after the commit. A nil receiver does nothing.
func (s *Stays) Record(ctx context.Context, stays []Stay) {
	if s == nil {
		return
	}
	for _, stay := range stays {
		s.durations.Record(ctx, stay.Duration.Seconds(), metric.WithAttributes(
			attribute.String("state", string(stay.State)), attribute.String("provider", stay.Provider)))
	}
}
