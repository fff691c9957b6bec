package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// maxPrepareDelay is the longest pause before the source of a task is prepared again.
const maxPrepareDelay = 5 * time.Minute

// Refuse settles an attempt that is not sent, because of what came up while it was prepared: a source.UnfitError,
// or the *provider.Error of a call that was free. Nothing was paid for. An attempt that was sent meanwhile, by another
// replica that had the same job, stays as it is.
func (l *Lifecycle) Refuse(ctx context.Context, id task.AttemptID, cause error) error {
	_, err := l.change(ctx, "preparation", id, func(t task.Task) (Change, error) {
		a := t.AttemptByID(id)
		if a.Sent || a.State != task.AttemptSubmitting {
			return Change{Decision: task.Decision{Task: t}}, nil
		}
		in, pause, err := l.refusalInput(t, *a, cause)
		if err != nil {
			return Change{}, err
		}
		d, err := t.Apply(in)
		return Change{Decision: d, Pause: pause}, err
	})
	if err != nil {
		return fmt.Errorf("refuse attempt %s: %w", id, err)
	}
	return nil
}

func (l *Lifecycle) refusalInput(t task.Task, a task.Attempt, cause error) (task.Input, *Pause, error) {
	if unfit, ok := errors.AsType[*source.UnfitError](cause); ok {
		return task.Refused{Attempt: a.ID, Reason: unfit.Reason, Message: unfit.Message, Final: unfit.Everywhere, Known: l.known}, nil, nil
	}
	pe, ok := errors.AsType[*provider.Error](cause)
	if !ok {
		return nil, nil, fmt.Errorf("not an answer of a provider: %w", cause)
	}
	switch pe.Class {
	case provider.NotSent, provider.RateLimited, provider.AccountBlocked, provider.Rejected:
		s := l.answered(a, "", pe)
		rule := s.rule()
		return rule.Effect.input(s), rule.pause(a.Account, s), nil
	default:
		// The account may be well: tasks that need no upload go on. This one waits longer with every attempt.
		delay := min(requeueDelay<<min(len(t.Attempts), 10), maxPrepareDelay)
		return task.Refused{Attempt: a.ID, Delay: max(delay, pe.RetryAfter), Message: pe.Error()}, nil, nil
	}
}
