package postgres

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

var selectTask = `SELECT ` + taskColumns + ` FROM task WHERE id = $1 AND tenant = $2`

// Task returns a tenant's task, or a lifecycle.TaskError with lifecycle.ErrTaskNotFound.
func (s *Tasks) Task(ctx context.Context, tenant string, id task.ID) (task.Task, error) {
	var t task.Task
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		t, err = s.oneTask(ctx, tx, selectTask, id, tenant)
		return err
	})
	if err != nil {
		return t, fmt.Errorf("read: %w", &lifecycle.TaskError{Task: id, Err: dbpool.NotFound(err, lifecycle.ErrTaskNotFound)})
	}
	return t, nil
}

// oneTask reads one task as a whole, or returns pgx.ErrNoRows.
func (s *Tasks) oneTask(ctx context.Context, q querier, sql string, args ...any) (task.Task, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return task.Task{}, err
	}
	t, err := pgx.CollectExactlyOneRow(rows, scanTask)
	if err != nil {
		return task.Task{}, err
	}
	tasks := []task.Task{t}
	err = s.complete(ctx, q, tasks)
	return tasks[0], err
}

// snapshot reads in a transaction that sees one moment: a task and its attempts are several statements.
func (s *Tasks) snapshot(ctx context.Context, read func(pgx.Tx) error) error {
	return snapshot(ctx, s.pool, read)
}

func snapshot(ctx context.Context, pool *pgxpool.Pool, read func(pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, pool, options, read)
}

// listTasks reads a page by key, so its cost does not grow with the pages before it. Bounds that are not asked
// for are spelt out, since a generic plan can use no index for "or it is NULL". The sum needs the sizes of the prompts alone,
// which are known without reading them, and the rows after the last one are not even looked at.
var listTasks = `
SELECT ` + taskColumns + `
FROM (
SELECT *, sum(octet_length(prompt) + octet_length(parameters)) OVER (ORDER BY tenant, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
FROM task
WHERE tenant = $1
  AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  AND (cardinality($3::text[]) = 0 OR state = ANY ($3))
  AND labels @> $4
  AND create_time >= coalesce($5::timestamptz, '-infinity')
  AND create_time < coalesce($6::timestamptz, 'infinity')
  AND (cardinality($8::text[]) = 0 OR failure_reason = ANY ($8))
ORDER BY tenant, id DESC
LIMIT $7
) AS task
WHERE coalesce(bytes_before, 0) < $9
ORDER BY tenant, id DESC`

// ListTasks returns tasks, newest first.
func (s *Tasks) ListTasks(ctx context.Context, f task.Filter) ([]task.Task, error) {
	states := make([]string, len(f.States))
	for i, st := range f.States {
		states[i] = string(st)
	}
	reasons := make([]string, len(f.Reasons))
	for i, r := range f.Reasons {
		reasons[i] = string(r)
	}
	labels := f.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	var tasks []task.Task
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, listTasks, f.Tenant, dbpool.Optional(string(f.Before)), states, labels, dbpool.Optional(f.FromTime),
			dbpool.Optional(f.ToTime), f.Limit, reasons, cmp.Or(f.LimitBytes, math.MaxInt64))
		if err != nil {
			return err
		}
		if tasks, err = pgx.CollectRows(rows, scanTask); err != nil {
			return err
		}
		return s.complete(ctx, tx, tasks)
	})
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	return tasks, nil
}

const selectHasTask = `SELECT FROM task WHERE id = $1 AND tenant = $2`

// HasTask returns a lifecycle.TaskError with lifecycle.ErrTaskNotFound unless the tenant has the task.
func (s *Tasks) HasTask(ctx context.Context, tenant string, id task.ID) error {
	if err := s.pool.QueryRow(ctx, selectHasTask, id, tenant).Scan(); err != nil {
		return fmt.Errorf("look for: %w", &lifecycle.TaskError{Task: id, Err: dbpool.NotFound(err, lifecycle.ErrTaskNotFound)})
	}
	return nil
}
