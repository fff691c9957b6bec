package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// Refuse settles an attempt that is not sent. It costs nothing. A source.UnfitError is final. After any other cause, another
// attempt follows with a delay. The account does not pause, because the cause does not concern it. If another replica with the
// same job has already sent the attempt, Refuse does not change it.
func (l *Lifecycle) Refuse(ctx context.Context, id task.AttemptID, cause error) error {
	_, err := l.change(ctx, "preparation", id, func(t task.Task) (Change, error) {
		a := t.AttemptByID(id)
		if a.Sent || a.State != task.AttemptSubmitting {
			return Change{Decision: task.Decision{Task: t}}, nil
		}
		in := task.Refused{Attempt: a.ID, Delay: requeueDelay, Message: cause.Error()}
		if unfit, ok := errors.AsType[*source.UnfitError](cause); ok {
			in = task.Refused{Attempt: a.ID, Reason: unfit.Reason, Message: unfit.Message, Final: unfit.Everywhere, Known: l.known}
		}
		d, err := t.Apply(in)
		return Change{Decision: d}, err
	})
	if err != nil {
		return fmt.Errorf("refuse attempt %s: %w", id, err)
	}
	return nil
}
