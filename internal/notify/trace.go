package notify

import (
	"context"
	"time"

	"github.com/refract-video/refract/internal/tracing"
)

// sendTraced is send within the trace of the task.
func (s *Sender) sendTraced(ctx context.Context, c Claimed) (Result, verdict, error) {
	ctx, span := tracing.Start(ctx, c.Task.TraceParent, "deliver webhook", time.Time{})
	if span.IsRecording() {
		tracing.Describe(span, &c.Task, nil)
		span.SetAttributes(tracing.Event.String(c.Event.String()), tracing.Endpoint.String(string(c.Endpoint)))
	}
	r, v, err := s.send(ctx, c)
	failure := string(v.outcome)
	if v.outcome == outcomeSucceeded {
		failure = ""
	}
	tracing.End(span, failure)
	return r, v, err
}
