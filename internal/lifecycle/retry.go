package lifecycle

import (
	"context"

	"github.com/refract-video/refract/internal/task"
)

// Retry continues a tenant's FAILED or CANCELED task, and returns task.ErrNotRetryable for any other. It adopts an earlier attempt
// that has a result or may still bring one, which costs nothing. Without such an attempt, or with newAttempt, the task is queued for
// another attempt.
func (l *Lifecycle) Retry(ctx context.Context, tenant string, id task.ID, newAttempt bool) (task.Task, error) {
	return l.changeTask(ctx, "retry", tenant, id, task.RetryRequested{NewAttempt: newAttempt, Known: l.known})
}
