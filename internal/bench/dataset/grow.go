package dataset

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/bench"
)

// insertEnded inserts tasks that have ended, numbered from $1 to $2-1, with all their rows, spread over six days and a hundred
// tenants. Their ids differ from those of Prepare. It bypasses the store, which inserts no ended tasks.
const insertEnded = `
WITH ended AS MATERIALIZED (
    SELECT n, ('00000000-0000-7000-b000-' || lpad(n::text, 12, '0'))::uuid AS id,
           ('00000000-0000-7000-c000-' || lpad(n::text, 12, '0'))::uuid AS attempt,
           CASE WHEN n % 2 = 0 THEN 'bench' ELSE 'tenant-' || n % 99 END AS tenant, now() - interval '6 days' * random() AS at
    FROM generate_series($1::int, $2::int - 1) AS n
), tasks AS (
    INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider,
                      fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision, allowance, deadline_time,
                      create_time, update_time, result_attempt)
    SELECT id, tenant, 'ended-' || n, $3, $4, '', '', '', '', '', '{}', '{kie}', 'kie', 0,
           '{"team": "films"}', interval '6 hours', 1, 'SUCCEEDED', 5, 0, at + interval '6 hours', at, at, attempt
    FROM ended
), attempts AS (
    INSERT INTO attempt (id, task_id, number, provider, account, provider_task_id, state, sent, saved, create_time, answer_time, settle_time, next_check_time)
    SELECT attempt, id, 1, 'kie', 'kie', 'b' || lpad(n::text, 31, '0'), 'SUCCEEDED', true, true, at, at, at, NULL
    FROM ended
), callbacks AS (
    INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body, receive_time)
    SELECT attempt, 'kie', 'b' || lpad(n::text, 31, '0'), 'applied', convert_to($5, 'UTF8'), at
    FROM ended
)
INSERT INTO task_event (task_id, revision, state, attempt, message, tenant, create_time)
SELECT id, revision, state, 1, 'kie did something', tenant, at
FROM ended, unnest('{QUEUED,SUBMITTING,RUNNING,SAVING,SUCCEEDED}'::text[]) WITH ORDINALITY AS e (state, revision)`

// growBy is the number of tasks that one statement inserts.
const growBy = 50_000

// Grow inserts ended tasks with the numbers from to to-1. Then it vacuums and analyzes all tables.
//
// The connections of the pool must have no deadlines: VACUUM takes minutes with tens of millions of rows.
func Grow(ctx context.Context, pool *pgxpool.Pool, from, to int) error {
	for n := from; n < to; n += growBy {
		_, err := pool.Exec(ctx, insertEnded, n, min(n+growBy, to), bench.Prompt, bench.SourceURI, bench.CallbackBody(bench.ProviderTaskID(0)))
		if err != nil {
			return fmt.Errorf("insert ended tasks: %w", err)
		}
	}
	if _, err := pool.Exec(ctx, "VACUUM ANALYZE", pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	_, err := pool.Exec(ctx, "CHECKPOINT")
	return err
}

// RemoveOpen removes the tasks that have not ended. Work on them, such as checks of their attempts, would distort the
// measurement.
func RemoveOpen(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, "DELETE FROM task WHERE state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELED')"); err != nil {
		return fmt.Errorf("remove the open tasks: %w", err)
	}
	return nil
}
