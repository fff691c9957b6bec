package postgres

import (
	"context"
	"fmt"

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

const selectHasTask = `SELECT FROM task WHERE id = $1 AND tenant = $2`

// HasTask returns a lifecycle.TaskError with lifecycle.ErrTaskNotFound unless the tenant has the task.
func (s *Tasks) HasTask(ctx context.Context, tenant string, id task.ID) error {
	if err := s.pool.QueryRow(ctx, selectHasTask, id, tenant).Scan(); err != nil {
		return fmt.Errorf("look for: %w", &lifecycle.TaskError{Task: id, Err: dbpool.NotFound(err, lifecycle.ErrTaskNotFound)})
	}
	return nil
}
