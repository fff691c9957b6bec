package lifecycle

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/task"
)

// Waiting returns what a task waits for, or nil if only for the work itself.
func (l *Lifecycle) Waiting(ctx context.Context, t task.Task) (*task.Waiting, error) {
	switch a := t.Attempt(); {
	case t.State == task.Running && a.State == task.AttemptUnconfirmed:
		return &task.Waiting{
			Cause:   task.WaitConfirmation,
			Message: fmt.Sprintf("it is unknown whether %s took attempt %d; its callback is awaited for %s", a.Provider, a.Number, waitForCallback(l.capabilities(a.Account))),
		}, nil
	case t.State == task.Saving:
		return l.waitingSave(ctx, t)
	case t.State != task.Queued:
		return nil, nil //nolint:nilnil // Nothing is what most tasks wait for.
	}
	closed, err := l.gate.ClosedMessage(ctx)
	if err != nil || closed != "" {
		return &task.Waiting{Cause: task.WaitAdmissionClosed, Message: "nothing is sent to providers now: " + closed}, err
	}
	position, err := l.store.QueuePosition(ctx, t, l.limits(t.Provider))
	if err != nil {
		return nil, fmt.Errorf("find out what task %s waits for: %w", t.ID, err)
	}
	if position.Closed, err = l.closureOfTask(ctx, t); err != nil {
		return nil, fmt.Errorf("find out whether the offering of task %s is closed: %w", t.ID, err)
	}
	return new(position.Waiting(t.Provider)), nil
}

// waitingSave returns what a task in SAVING waits for, or nil if no try to save it failed.
func (l *Lifecycle) waitingSave(ctx context.Context, t task.Task) (*task.Waiting, error) {
	trouble, storage, err := l.saves.SaveTrouble(ctx, t.Result, t.UpdateTime)
	if err != nil {
		return nil, fmt.Errorf("find out what task %s waits for: %w", t.ID, err)
	}
	if storage != "" {
		return &task.Waiting{Cause: task.WaitStorage, Message: "the result can't be stored, since the storage " + storage + "; it is saved when the storage works again"}, nil
	}
	if trouble.Cause == "" {
		return nil, nil //nolint:nilnil // Nothing is what most tasks wait for.
	}
	return &task.Waiting{Cause: trouble.Cause, Until: trouble.Until, Message: trouble.Message + "; it is tried again"}, nil
}
