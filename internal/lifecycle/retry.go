package lifecycle

import (
	"context"

	"github.com/refract-video/refract/internal/task"
)

// Retry continues a tenant's FAILED or CANCELED task, and returns task.ErrNotRetryable for any other. It
// adopts what an earlier attempt has or may yet bring, for free; without that, or when newAttempt asks for
// it, the task is queued for another attempt.
func (l *Lifecycle) Retry(ctx context.Context, tenant string, id task.ID, newAttempt bool) (task.Task, error) {
	return l.changeTask(ctx, "retry", tenant, id, task.RetryRequested{NewAttempt: newAttempt, Known: l.known})
}
