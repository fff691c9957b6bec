package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// taskOutputs selects the outputs of a task. $2 and $3 are for how long outputs and tasks are kept, in seconds.
var taskOutputs = `
SELECT ` + outputColumns("$2", "$3") + `
FROM task
JOIN output ON output.attempt_id = task.result_attempt` + outputTerms + `
WHERE task.id = $1 AND task.state = 'SUCCEEDED'`

var (
	selectOutput      = taskOutputs + ` AND output.index = $4`
	selectTaskOutputs = taskOutputs + ` ORDER BY output.index`
)

// Output returns an output of a SUCCEEDED task, whoever's it is, or lifecycle.ErrTaskNotFound. It may have expired.
func (s *Store) Output(ctx context.Context, id task.ID, index int) (task.Output, error) {
	var row outputRow
	err := s.pool.QueryRow(ctx, selectOutput, id, s.keep.Outputs.Seconds(), s.keep.Tasks.Seconds(), index).Scan(row.fields()...)
	if err != nil {
		return task.Output{}, fmt.Errorf("find output %d of task %s: %w", index, id, notFound(err, lifecycle.ErrTaskNotFound))
	}
	return row.output(), nil
}

// TaskOutputs implements watch.Events.
func (s *Store) TaskOutputs(ctx context.Context, id task.ID) ([]task.Output, error) {
	rows, err := s.pool.Query(ctx, selectTaskOutputs, id, s.keep.Outputs.Seconds(), s.keep.Tasks.Seconds())
	if err != nil {
		return nil, fmt.Errorf("read outputs of task %s: %w", id, err)
	}
	outputs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (task.Output, error) {
		var r outputRow
		err := row.Scan(r.fields()...)
		return r.output(), err
	})
	if err != nil {
		return nil, fmt.Errorf("read outputs of task %s: %w", id, err)
	}
	return outputs, nil
}
