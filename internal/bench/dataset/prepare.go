// Package dataset fills a database for measurements: with tasks that wait for their callback, and with tasks that have ended.
package dataset

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// insertAttempts inserts an attempt for each task from $1 to $2-1 that runs at the provider. The attempts belong to a separate
// account that no replica serves. Otherwise admission would count tens of thousands of attempts, and their checks would become
// due.
const insertAttempts = `
INSERT INTO attempt (id, task_id, number, provider, account, provider_task_id, state, sent, answer_time)
SELECT ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
       1, 'kie', 'bench', lpad(n::text, 32, '0'), 'RUNNING', true, now() - interval '1 hour'
FROM generate_series($1::int, $2::int - 1) AS n`

// holdSaves pauses River's queue of saves. The store has no call for that, because a service never pauses it.
const holdSaves = `
INSERT INTO river_queue (name, created_at, metadata, paused_at, updated_at)
VALUES ('save_outputs', now(), '{}', now(), now())
ON CONFLICT (name) DO UPDATE SET paused_at = now()`

// HoldSaves prevents the service from downloading the results that callbacks report. It must be called before the service
// starts.
func HoldSaves(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, holdSaves); err != nil {
		return fmt.Errorf("hold saves: %w", err)
	}
	return nil
}

// Store creates tasks.
type Store interface {
	CreateTasks(ctx context.Context, ds []task.Decision) []lifecycle.NewTask
}

// createBy is the number of tasks that one call creates.
const createBy = 1000

// Prepare creates tasks that wait for their callback, numbered from from to to-1. It needs the schema, and connections without
// deadlines, as Grow does.
func Prepare(ctx context.Context, store Store, pool *pgxpool.Pool, from, to int) error {
	for n := from; n < to; n += createBy {
		if err := create(ctx, store, n, min(n+createBy, to)); err != nil {
			return fmt.Errorf("prepare tasks: %w", err)
		}
	}
	if _, err := pool.Exec(ctx, insertAttempts, from, to); err != nil {
		return fmt.Errorf("prepare attempts: %w", err)
	}
	if _, err := pool.Exec(ctx, "ANALYZE"); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	return nil
}

// create creates tasks in the state RUNNING. A replica that serves the database would admit queued ones.
func create(ctx context.Context, store Store, from, to int) error {
	var decisions []task.Decision
	for n := from; n < to; n++ {
		t := task.Task{
			ID: task.ID(bench.TaskID(n)), Tenant: "bench", RequestID: fmt.Sprintf("prepared-%d", n),
			Provider: "kie", Route: []string{"kie"}, State: task.Running, Revision: 1, Allowance: 1,
			Spec: task.Spec{
				Prompt: bench.Prompt, SourceURI: bench.SourceURI, Labels: map[string]string{"team": "films"},
				Deadline: 6 * time.Hour, MaxAttempts: 1,
			},
		}
		event := &task.Event{Revision: t.Revision, State: t.State, Attempt: 1, Message: "kie accepted attempt 1"}
		decisions = append(decisions, task.Decision{Task: t, Event: event, Changed: true})
	}
	for _, created := range store.CreateTasks(ctx, decisions) {
		if created.Err != nil {
			return created.Err
		}
	}
	return nil
}

// changeTasks commits an event for each task, in one statement. Calls overlap, so each locks its tasks in the same order.
const changeTasks = `
WITH held AS MATERIALIZED (
    SELECT id FROM task WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE
), changed AS (
    UPDATE task SET revision = revision + 1, update_time = now() FROM held WHERE task.id = held.id RETURNING task.id, tenant, revision
)
INSERT INTO task_event (task_id, tenant, revision, state, attempt, message)
SELECT id, tenant, revision, 'RUNNING', 1, $2 FROM changed`

// ChangeTasks commits an event with a message for each of these tasks, as another replica does, but sends no notification. The
// store changes a task only by an input of the state machine, and none fits often enough.
func ChangeTasks(ctx context.Context, pool *pgxpool.Pool, tasks []string, message string) error {
	if _, err := pool.Exec(ctx, changeTasks, tasks, message); err != nil {
		return fmt.Errorf("change tasks: %w", err)
	}
	return nil
}
