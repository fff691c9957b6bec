package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// lockQuota makes submissions of a tenant that has a quota follow each other, so that the quota is exact over all
// replicas. Tenants without one do not wait for anyone.
const lockQuota = `
SELECT pg_advisory_xact_lock(hashtextextended('refract.tenant.submit.' || $1, 0))
FROM (SELECT max_queued, max_per_day FROM tenant WHERE tenant IN ($1, '') ORDER BY tenant DESC LIMIT 1) AS quota
WHERE max_queued IS NOT NULL OR max_per_day IS NOT NULL`

// insertTask writes task and first event in one statement, unless the tenant has used up a quota. It returns no
// row when the tenant has used the request id before; ON CONFLICT waits for a transaction that is using it right
// now. A quota that is used up comes back beside NULLs.
//
// NOTE: it runs after lockQuota, in a statement of its own: one that waited for the lock itself would count in a
// snapshot from before.
const insertTask = `
WITH quota AS (
    SELECT max_queued, max_per_day, (now() AT TIME ZONE 'UTC')::date AS today
    FROM tenant
    WHERE tenant IN ($2, '')
    ORDER BY tenant DESC
    LIMIT 1
), spent AS (
    SELECT 'max_queued' AS name, max_queued AS most, 10::float8 AS seconds
    FROM quota
    WHERE max_queued <= (SELECT count(*)
                         FROM (SELECT FROM task WHERE tenant = $2 AND state = 'QUEUED' LIMIT quota.max_queued) AS queued)
    UNION ALL
    SELECT 'max_per_day', max_per_day, extract(epoch FROM ((today + 1)::timestamp AT TIME ZONE 'UTC') - now())
    FROM quota
    WHERE max_per_day <= (SELECT submissions FROM tenant_day WHERE tenant = $2 AND day = today)
), created AS (
    INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri,
                      asked_provider, fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision,
                      allowance, deadline_time, line_time, source_id)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, make_interval(secs => $16), $17, $18, $19, $20,
           now() + make_interval(secs => $16), now() - make_interval(mins => $14), $22::uuid
    WHERE NOT EXISTS (SELECT FROM spent)
    ON CONFLICT ON CONSTRAINT task_request_id_key DO NOTHING
    RETURNING id, create_time, update_time, deadline_time
), counted AS (
    INSERT INTO tenant_day (tenant, day, submissions)
    SELECT $2, today, 1 FROM created, quota WHERE max_per_day IS NOT NULL
    ON CONFLICT ON CONSTRAINT tenant_day_pkey DO UPDATE SET submissions = tenant_day.submissions + 1
), event AS (
    INSERT INTO task_event (task_id, revision, state, attempt, message)
    SELECT id, $19, $18, 0, $21 FROM created
)
SELECT create_time, update_time, deadline_time, '', 0, 0::float8 FROM created
UNION ALL
(SELECT NULL, NULL, NULL, name, most, seconds FROM spent ORDER BY seconds DESC LIMIT 1)`

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
	var created, updated, deadline *time.Time
	quota := lifecycle.QuotaError{Tenant: t.Tenant}
	var seconds float64
	var batch pgx.Batch // One round trip and one commit.
	batch.Queue(lockQuota, t.Tenant)
	batch.Queue(insertTask, t.ID, t.Tenant, t.RequestID, t.Spec.Prompt, t.Spec.SourceURI, t.Spec.Watermark,
		t.Spec.Strength, t.Spec.Model, t.Spec.FirstFrameURI, t.Spec.Provider, fallbacks, t.Route, t.Provider, t.Spec.Priority,
		labels, t.Spec.Deadline.Seconds(), t.Spec.MaxAttempts, t.State, t.Revision, t.Allowance, d.Event.Message,
		optional(string(t.Spec.SourceID)),
	).QueryRow(func(row pgx.Row) error {
		return row.Scan(&created, &updated, &deadline, &quota.Quota, &quota.Limit, &seconds)
	})
	err := s.pool.SendBatch(ctx, &batch).Close()
	switch {
	case err == nil && created != nil:
		t.CreateTime, t.UpdateTime, t.DeadlineTime = *created, *updated, *deadline
		return t, true, nil
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return task.Task{}, false, fmt.Errorf("insert task: %w", err)
	}
	found, findErr := s.TaskByRequest(ctx, t.Tenant, t.RequestID)
	if err == nil && errors.Is(findErr, lifecycle.ErrTaskNotFound) {
		quota.Retry = time.Duration(seconds * float64(time.Second))
		return task.Task{}, false, &quota
	}
	return found, false, findErr
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
	err = s.complete(ctx, q, tasks)
	return tasks[0], err
}
