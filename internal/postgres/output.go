package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

const selectOutput = `
SELECT ` + outputColumns + `
FROM task JOIN output ON output.attempt_id = task.result_attempt
WHERE task.id = $1 AND task.state = 'SUCCEEDED' AND output.index = $2`

// Output returns an output of a SUCCEEDED task, whoever's it is, or lifecycle.ErrTaskNotFound.
func (s *Store) Output(ctx context.Context, id task.ID, index int) (task.Output, error) {
	var o task.Output
	var milliseconds int64
	if err := s.pool.QueryRow(ctx, selectOutput, id, index).Scan(outputFields(&o, &milliseconds)...); err != nil {
		return o, fmt.Errorf("find output %d of task %s: %w", index, id, notFound(err, lifecycle.ErrTaskNotFound))
	}
	o.Duration = time.Duration(milliseconds) * time.Millisecond
	return o, nil
}
