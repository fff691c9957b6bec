package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Overdue is a task whose deadline has passed.
type Overdue struct {
	Task         task.ID
	DeadlineTime time.Time
}

// ExpireBatch bounds how many overdue tasks one call of Expire ends.
const ExpireBatch = 100

// Expire ends tasks whose deadline has passed and returns how many it found. There may be more when it found ExpireBatch.
func (l *Lifecycle) Expire(ctx context.Context) (int, error) {
	overdue, err := l.store.OverdueTasks(ctx, ExpireBatch)
	if err != nil {
		return 0, fmt.Errorf("find overdue tasks: %w", err)
	}
	var errs []error
	for _, o := range overdue {
		start := time.Now()
		changed := false
		t, err := l.store.ChangeAnyTask(ctx, o.Task, func(t task.Task) (Change, error) {
			if !t.DeadlineTime.Equal(o.DeadlineTime) {
				return Change{Decision: task.Decision{Task: t}}, nil // Retried since, which renewed its deadline.
			}
			d, err := t.Apply(task.DeadlinePassed{})
			changed = d.Changed
			return Change{Decision: d}, err
		})
		if errors.Is(err, ErrTaskNotFound) {
			continue // Removed since.
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("expire task %s: %w", o.Task, err))
			continue // The other tasks must not wait for this one.
		}
		if changed {
			trace(ctx, "expire task", &t, nil, start)
		}
		l.changed(t.ID, t.State)
	}
	return len(overdue), errors.Join(errs...)
}
