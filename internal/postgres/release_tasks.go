package postgres

import (
	"context"

	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// releaseTasks lets admission have tasks again. A task that was changed since waits for something else. One that another
// transaction is changing is passed over, which avoids a deadlock; the next look for waiters finds it if it still waits.
const releaseTasks = `
WITH free AS (
    SELECT task.id
    FROM unnest($1::uuid[], $2::bigint[]) AS waiter (id, revision)
    JOIN task ON task.id = waiter.id AND task.revision = waiter.revision AND task.state = 'QUEUED'
    FOR UPDATE OF task SKIP LOCKED
)
UPDATE task
SET not_before_time = now()
FROM free
WHERE task.id = free.id`

// ReleaseTasks implements lifecycle.Store. It waits for no lock.
func (s *Tasks) ReleaseTasks(ctx context.Context, waiters []source.Waiter) error {
	ids, revisions := make([]task.ID, len(waiters)), make([]int64, len(waiters))
	for i, w := range waiters {
		ids[i], revisions[i] = w.Task, w.Revision
	}
	_, err := s.pool.Exec(ctx, releaseTasks, ids, revisions)
	return err
}
