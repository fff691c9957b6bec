// Package dataset fills a database for measurements: with tasks that wait for their callback, and with tasks that have ended.
package dataset

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/bench"
)

// insertTasks makes tasks that wait for their callback, numbered from $1 to $2-1. Their attempts are of an account of
// their own, and nobody asks about them: tens of thousands that are open at the account that is served would make
// admission count them.
const insertTasks = `
INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider,
                  fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision, allowance, deadline_time)
SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'bench', 'prepared-' || n, $3, $4, '', '', '', '', '',
       '{}', '{kie}', 'kie', 0, '{"team": "films"}', interval '6 hours', 1, 'RUNNING', 3, 1, now() + interval '6 hours'
FROM generate_series($1::int, $2::int - 1) AS n`

const insertAttempts = `
INSERT INTO attempt (id, task_id, number, provider, account, provider_task_id, state, sent, answer_time)
SELECT ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
       1, 'kie', 'bench', lpad(n::text, 32, '0'), 'RUNNING', true, now() - interval '1 hour'
FROM generate_series($1::int, $2::int - 1) AS n`

const insertEvents = `
INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, revision, 'RUNNING', 1, 'kie accepted attempt 1', 'bench'
FROM generate_series($1::int, $2::int - 1) AS n, generate_series(1, 3) AS revision`

const holdSaves = `
INSERT INTO river_queue (name, created_at, metadata, paused_at, updated_at)
VALUES ('save_outputs', now(), '{}', now(), now())
ON CONFLICT (name) DO UPDATE SET paused_at = now()`

// HoldSaves keeps the results that callbacks announce from being fetched. It is to be called before the service starts.
func HoldSaves(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, holdSaves); err != nil {
		return fmt.Errorf("hold saves: %w", err)
	}
	return nil
}

// Prepare makes tasks that wait for their callback, numbered from one to before another. It needs the schema, and
// connections without deadlines, as Grow does.
func Prepare(ctx context.Context, pool *pgxpool.Pool, from, to int) error {
	if _, err := pool.Exec(ctx, insertTasks, from, to, bench.Prompt, bench.SourceURI); err != nil {
		return fmt.Errorf("prepare tasks: %w", err)
	}
	if _, err := pool.Exec(ctx, insertAttempts, from, to); err != nil {
		return fmt.Errorf("prepare attempts: %w", err)
	}
	if _, err := pool.Exec(ctx, insertEvents, from, to); err != nil {
		return fmt.Errorf("prepare events: %w", err)
	}
	if _, err := pool.Exec(ctx, "ANALYZE"); err != nil {
		return fmt.Errorf("analyze: %w", err)
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

// ChangeTasks commits an event with a message for each of these tasks, as another replica does, but tells nobody.
func ChangeTasks(ctx context.Context, pool *pgxpool.Pool, tasks []string, message string) error {
	if _, err := pool.Exec(ctx, changeTasks, tasks, message); err != nil {
		return fmt.Errorf("change tasks: %w", err)
	}
	return nil
}
