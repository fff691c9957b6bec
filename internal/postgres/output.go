package postgres

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

const selectOutputKey = `
SELECT output.key
FROM task JOIN output ON output.attempt_id = task.result_attempt
WHERE task.id = $1 AND task.state = 'SUCCEEDED' AND output.index = $2`

// OutputKey returns where an output of a SUCCEEDED task is in the bucket, or lifecycle.ErrTaskNotFound.
func (s *Store) OutputKey(ctx context.Context, id task.ID, index int) (string, error) {
	var key string
	if err := s.pool.QueryRow(ctx, selectOutputKey, id, index).Scan(&key); err != nil {
		return "", fmt.Errorf("find output %d of task %s: %w", index, id, notFound(err, lifecycle.ErrTaskNotFound))
	}
	return key, nil
}
