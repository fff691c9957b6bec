package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/task"
)

// eventColumns are the columns that scanEvent reads, in its order.
const eventColumns = `revision, state, attempt, message, coalesce(failure_reason, ''), coalesce(failure_message, ''),
       coalesce(failure_payment, ''), create_time`

func scanEvent(row pgx.CollectableRow) (task.Event, error) {
	var e task.Event
	var f task.Failure
	err := row.Scan(&e.Revision, &e.State, &e.Attempt, &e.Message, &f.Reason, &f.Message, &f.Payment, &e.CreateTime)
	if f.Reason != "" {
		e.Failure = &f
	}
	return e, err
}

const selectEvents = `
SELECT ` + eventColumns + `
FROM task_event
WHERE task_id = $1 AND revision > $2
ORDER BY revision
LIMIT $3`

// TaskEvents implements watch.Events.
func (s *Log) TaskEvents(ctx context.Context, id task.ID, after int64, limit int) ([]task.Event, error) {
	rows, err := s.pool.Query(ctx, selectEvents, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read events of task %s: %w", id, err)
	}
	events, err := pgx.CollectRows(rows, scanEvent)
	if err != nil {
		return nil, fmt.Errorf("read events of task %s: %w", id, err)
	}
	return events, nil
}

const selectRevisions = `SELECT id, revision FROM task WHERE id = ANY ($1::uuid[])`

// Revisions implements watch.Events.
func (s *Log) Revisions(ctx context.Context, ids []task.ID) (map[task.ID]int64, error) {
	rows, err := s.pool.Query(ctx, selectRevisions, ids)
	if err != nil {
		return nil, fmt.Errorf("read revisions: %w", err)
	}
	revisions := make(map[task.ID]int64, len(ids))
	var id task.ID
	var revision int64
	_, err = pgx.ForEachRow(rows, []any{&id, &revision}, func() error {
		revisions[id] = revision
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read revisions: %w", err)
	}
	return revisions, nil
}

var selectTaskOutputs = taskOutputs + ` ORDER BY output.index`

// TaskOutputs implements watch.Events.
func (s *Log) TaskOutputs(ctx context.Context, id task.ID) ([]task.Output, error) {
	rows, err := s.pool.Query(ctx, selectTaskOutputs, id, s.periods.Outputs.Seconds(), s.periods.Tasks.Seconds())
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
