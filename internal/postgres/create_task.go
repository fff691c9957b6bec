package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// insertTask writes task and first event in one statement, which is one commit. It returns no row when the
// tenant has used the request id before; ON CONFLICT waits for a transaction that is using it right now.
const insertTask = `
WITH created AS (
    INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri,
                      asked_provider, fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision,
                      allowance, deadline_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, make_interval(secs => $16), $17, $18, $19, $20,
            now() + make_interval(secs => $16))
    ON CONFLICT ON CONSTRAINT task_request_id_key DO NOTHING
    RETURNING id, create_time, update_time, deadline_time
), event AS (
    INSERT INTO task_event (task_id, revision, state, attempt, message)
    SELECT id, $19, $18, 0, $21 FROM created
)
SELECT create_time, update_time, deadline_time FROM created`

const selectTaskByRequest = `SELECT ` + taskColumns + ` FROM task WHERE tenant = $1 AND request_id = $2`

// CreateTask implements lifecycle.Store.
func (s *Store) CreateTask(ctx context.Context, d task.Decision) (task.Task, bool, error) {
	t := d.Task
	labels := t.Spec.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	fallbacks := t.Spec.Fallbacks
	if fallbacks == nil {
		fallbacks = []string{}
	}
	err := s.pool.QueryRow(ctx, insertTask, t.ID, t.Tenant, t.RequestID, t.Spec.Prompt, t.Spec.SourceURI, t.Spec.Watermark,
		t.Spec.Strength, t.Spec.Model, t.Spec.FirstFrameURI, t.Spec.Provider, fallbacks, t.Route, t.Provider, t.Spec.Priority,
		labels, t.Spec.Deadline.Seconds(), t.Spec.MaxAttempts, t.State, t.Revision, t.Allowance, d.Event.Message,
	).Scan(&t.CreateTime, &t.UpdateTime, &t.DeadlineTime)
	switch {
	case err == nil:
		return t, true, nil
	case !errors.Is(err, pgx.ErrNoRows):
		return task.Task{}, false, fmt.Errorf("insert task: %w", err)
	}
	found, err := s.TaskByRequest(ctx, t.Tenant, t.RequestID)
	return found, false, err
}

// TaskByRequest implements lifecycle.Store.
func (s *Store) TaskByRequest(ctx context.Context, tenant, requestID string) (task.Task, error) {
	var t task.Task
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		t, err = s.oneTask(ctx, tx, selectTaskByRequest, tenant, requestID)
		return err
	})
	if err != nil {
		return t, fmt.Errorf("read the task of request id %q: %w", requestID, notFound(err, lifecycle.ErrTaskNotFound))
	}
	return t, nil
}

// oneTask reads one task as a whole, or returns pgx.ErrNoRows.
func (s *Store) oneTask(ctx context.Context, q querier, sql string, args ...any) (task.Task, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return task.Task{}, err
	}
	t, err := pgx.CollectExactlyOneRow(rows, scanTask)
	if err != nil {
		return task.Task{}, err
	}
	tasks := []task.Task{t}
	err = complete(ctx, q, tasks)
	return tasks[0], err
}
