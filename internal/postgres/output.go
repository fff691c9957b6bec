package postgres

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// taskOutputs selects the outputs of a task. $2 and $3 are for how long outputs and tasks are kept, in seconds.
var taskOutputs = `
SELECT ` + outputColumns("$2", "$3") + `
FROM task
JOIN output ON output.attempt_id = task.result_attempt` + outputTerms + `
WHERE task.id = $1 AND task.state = 'SUCCEEDED'`

var selectOutput = taskOutputs + ` AND output.index = $4`

// Output returns an output of a SUCCEEDED task of any tenant, or lifecycle.ErrTaskNotFound. It may have expired.
func (s *Tasks) Output(ctx context.Context, id task.ID, index int) (task.Output, error) {
	var row outputRow
	err := s.pool.QueryRow(ctx, selectOutput, id, s.periods.Outputs.Seconds(), s.periods.Tasks.Seconds(), index).Scan(row.fields()...)
	if err != nil {
		return task.Output{}, fmt.Errorf("find output %d of task %s: %w", index, id, dbpool.NotFound(err, lifecycle.ErrTaskNotFound))
	}
	return row.output(), nil
}
