package lifecycle

import (
	"context"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tracing"
)

// settleSpans are the names of the spans of changes of an attempt, by what brought them. A submission has a span of its own, in which the
// provider is called.
var settleSpans = map[string]string{
	"callback": "settle callback", "check": "settle check", "operator": "settle inquiry", "save": "settle save", "preparation": "give back attempt",
}

// trace adds to the trace of a task that a verb has changed it, from start until now. Only the task's row has the trace context, so the
// span begins after the fact. a is the attempt that the change is about, or nil. An empty name adds nothing.
func trace(ctx context.Context, name string, t *task.Task, a *task.Attempt, start time.Time) {
	if name == "" {
		return
	}
	_, span := tracing.Start(ctx, t.TraceParent, name, start)
	tracing.Describe(span, t, a)
	span.End()
}

// outcomeOf returns the class of an answer that is an error, or an empty string.
func outcomeOf(answer error) string {
	if answer == nil {
		return ""
	}
	return provider.ClassOf(answer).String()
}
