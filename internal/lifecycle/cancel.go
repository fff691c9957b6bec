package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Cancel makes a tenant's task CANCELED. A terminal task stays as it is and is returned.
func (l *Lifecycle) Cancel(ctx context.Context, tenant string, id task.ID) (task.Task, error) {
	return l.changeTask(ctx, "cancel", tenant, id, task.CancelRequested{})
}

// changeTask applies a caller's request to a task.
func (l *Lifecycle) changeTask(ctx context.Context, verb, tenant string, id task.ID, in task.Input) (task.Task, error) {
	start := time.Now()
	var state task.State
	t, err := l.store.ChangeTask(ctx, tenant, id, func(t task.Task) (Change, error) {
		state = t.State
		d, err := t.Apply(in)
		return Change{Decision: d}, err
	})
	if err != nil {
		return t, fmt.Errorf("%s: %w", verb, &TaskError{Task: id, State: state, Err: err})
	}
	trace(ctx, verb+" task", &t, nil, start)
	l.changed(t.ID, t.State)
	return t, nil
}
