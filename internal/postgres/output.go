package postgres

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

var selectOutput = `
SELECT ` + outputColumns("$3", "$4") + `
FROM task
JOIN output ON output.attempt_id = task.result_attempt` + outputTerms + `
WHERE task.id = $1 AND task.state = 'SUCCEEDED' AND output.index = $2`

// Output returns an output of a SUCCEEDED task, whoever's it is, or lifecycle.ErrTaskNotFound. It may have expired.
func (s *Store) Output(ctx context.Context, id task.ID, index int) (task.Output, error) {
	var row outputRow
	err := s.pool.QueryRow(ctx, selectOutput, id, index, s.keep.Outputs.Seconds(), s.keep.Tasks.Seconds()).Scan(row.fields()...)
	if err != nil {
		return task.Output{}, fmt.Errorf("find output %d of task %s: %w", index, id, notFound(err, lifecycle.ErrTaskNotFound))
	}
	return row.output(), nil
}
