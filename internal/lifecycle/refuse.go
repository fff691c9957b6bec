package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// Refuse settles an attempt that is not sent, because of what came up before: a source.UnfitError ends it for good, with
// any other cause another attempt follows after a pause. Nothing was paid for, and nothing is known of the account, which
// does not pause. An attempt that was sent meanwhile, by another replica that had the same job, stays as it is.
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
