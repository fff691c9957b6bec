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

// Defer gives back an attempt whose source is not ready: the task is QUEUED again, holds no permit, and is not admitted until its
// source has been prepared in the background. Nothing was sent, so nothing was paid. An attempt that another replica with the same
// job has sent stays as it is. Then the error is task.ErrAlreadySent.
func (l *Lifecycle) Defer(ctx context.Context, id task.AttemptID) error {
	_, err := l.change(ctx, "preparation", id, func(t task.Task) (Change, error) {
		a := t.AttemptByID(id)
		switch {
		case a.State != task.AttemptSubmitting:
			return Change{Decision: task.Decision{Task: t}}, nil
		case a.Sent:
			return Change{Decision: task.Decision{Task: t}}, task.ErrAlreadySent
		}
		d, err := t.Apply(task.Refused{Attempt: id, Message: "not sent: its source is prepared first"})
		c := Change{Decision: d}
		if d.Changed && d.Task.State == task.Queued {
			c.Prepare = new(source.PreparationOf(t, a.Account))
		}
		return c, err
	})
	if err != nil {
		return fmt.Errorf("defer attempt %s: %w", id, err)
	}
	return nil
}

// Prepared makes tasks whose source is ready eligible for admission.
func (l *Lifecycle) Prepared(ctx context.Context, waiters []source.Waiter) error {
	if err := l.store.ReleaseTasks(ctx, waiters); err != nil {
		return fmt.Errorf("release tasks whose source is ready: %w", err)
	}
	for _, w := range waiters {
		l.changed(w.Task, task.Queued)
	}
	return nil
}

// Unprepared settles a task whose source can't be prepared for an account: with a source.UnfitError, or with the refusal of a
// *provider.Error. A task that changed since it began to wait stays as it is.
func (l *Lifecycle) Unprepared(ctx context.Context, w source.Waiter, cause error) error {
	return l.changeWaiter(ctx, w, func(t task.Task) (Change, error) {
		in := task.Unprepared{Provider: t.Provider, Known: l.known}
		unfit, isUnfit := errors.AsType[*source.UnfitError](cause)
		refused, isRefused := errors.AsType[*provider.Error](cause)
		switch {
		case isUnfit:
			in.Reason, in.Message, in.Final = unfit.Reason, unfit.Message, unfit.Everywhere
		case isRefused && refused.Class == provider.Rejected:
			in.Reason, in.Message = rejection(refused), refused.Error()
		default:
			return Change{}, fmt.Errorf("not a refusal of its source: %w", cause)
		}
		d, err := t.Apply(in)
		return Change{Decision: d}, err
	})
}

// Block pauses an account because of the answer to an upload that a task waits for: the account would answer submissions in the same
// way. The task continues to wait.
func (l *Lifecycle) Block(ctx context.Context, w source.Waiter, account string, cause *provider.Error) error {
	return l.changeWaiter(ctx, w, func(t task.Task) (Change, error) {
		s := answered{err: cause, caps: l.capabilities(account)}
		return Change{Decision: task.Decision{Task: t}, Pause: s.rule().pause(account, s)}, nil
	})
}

// changeWaiter changes a task that still waits for its source.
func (l *Lifecycle) changeWaiter(ctx context.Context, w source.Waiter, decide Decide) error {
	start := time.Now()
	changed := false
	t, err := l.store.ChangeAnyTask(ctx, w.Task, func(t task.Task) (Change, error) {
		if t.State != task.Queued || t.Revision != w.Revision {
			return Change{Decision: task.Decision{Task: t}}, nil
		}
		c, err := decide(t)
		changed = c.Changed
		return c, err
	})
	if errors.Is(err, ErrTaskNotFound) {
		return nil // Retention removed it.
	}
	if err != nil {
		return fmt.Errorf("settle task %s, which waits for its source: %w", w.Task, err)
	}
	if changed {
		trace(ctx, "settle preparation", &t, nil, start)
		l.changed(t.ID, t.State)
	}
	return nil
}
