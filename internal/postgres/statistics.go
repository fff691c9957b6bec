package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/statistics"
	"github.com/refract-video/refract/internal/task"
)

// countedColumns are the columns that scanCounted reads, in its order.
const countedColumns = `id, state, coalesce(failure_reason, ''), create_time, update_time, revision`

// selectNewest reads the newest tasks of all tenants. Their ids sort by their creation times but for clockMargin.
const selectNewest = `
SELECT ` + countedColumns + `
FROM task
WHERE id >= $1::uuid
ORDER BY id DESC
LIMIT $2`

// selectTenantNewest reads the newest tasks of a tenant. For "ANY", see listTasks.
const selectTenantNewest = `
SELECT ` + countedColumns + `
FROM task
WHERE tenant = ANY (ARRAY[$3::text]) AND id >= $1::uuid
ORDER BY tenant, id DESC
LIMIT $2`

// timedEvents is the number of events of a task that are read. A task without retries has five.
const timedEvents = 20

const selectTimedEvents = `
SELECT its.task_id, its.state, its.create_time
FROM unnest($1::uuid[]) AS timed (id)
CROSS JOIN LATERAL (
    SELECT task_id, revision, state, create_time
    FROM task_event
    WHERE task_id = timed.id
    ORDER BY revision
    LIMIT $2
) AS its
ORDER BY its.task_id, its.revision`

const waitingColumns = `id, tenant, provider, model, update_time`

const selectLongestQueued = `
SELECT ` + waitingColumns + `
FROM task
WHERE state = 'QUEUED'
ORDER BY state, update_time, id
LIMIT $1`

// maxInLine is how many tasks of a tenant's line at a provider are looked at for those that wait the longest.
const maxInLine = 1000

// selectTenantLongestQueued looks at the heads of the tenant's lines, since no index has the tasks of a tenant by the time since which
// they wait. A task waits for longer than those behind it, except for priorities. It steps through the providers by the index.
const selectTenantLongestQueued = `
WITH RECURSIVE line AS (
    (SELECT provider FROM task WHERE tenant = ANY (ARRAY[$2::text]) AND state = 'QUEUED' ORDER BY tenant, provider LIMIT 1)
    UNION ALL
    SELECT (SELECT provider FROM task
            WHERE tenant = ANY (ARRAY[$2::text]) AND state = 'QUEUED' AND provider > line.provider
            ORDER BY tenant, provider LIMIT 1)
    FROM line
    WHERE line.provider IS NOT NULL
)
SELECT queued.*
FROM line
CROSS JOIN (VALUES (false), (true)) AS held (released)
CROSS JOIN LATERAL (
    SELECT id, tenant, task.provider, model, update_time
    FROM task
    WHERE tenant = ANY (ARRAY[$2::text]) AND task.provider = line.provider AND state = 'QUEUED'
      AND (not_before_time IS DISTINCT FROM 'infinity') = held.released
    ORDER BY tenant, task.provider, (not_before_time IS DISTINCT FROM 'infinity'), line_time, id
    LIMIT $3
) AS queued
ORDER BY queued.update_time, queued.id
LIMIT $1`

// Sample implements statistics.Store. All statements see one moment.
func (s *Tasks) Sample(ctx context.Context, tenant string, period time.Duration) (sample statistics.Sample, err error) {
	err = s.snapshot(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT now()").Scan(&sample.To); err != nil {
			return err
		}
		sample.From = sample.To.Add(-period)
		if err := readCounted(ctx, tx, tenant, &sample); err != nil {
			return err
		}
		var batch pgx.Batch
		batch.Queue(selectTimedEvents, timed(sample.Tasks), timedEvents).Query(collect(&sample.Events, scanTimedEvent))
		if tenant == "" {
			batch.Queue(selectLongestQueued, statistics.MaxWaiting).Query(collect(&sample.Waiting, scanWaiting))
		} else {
			batch.Queue(selectTenantLongestQueued, statistics.MaxWaiting, tenant, maxInLine).Query(collect(&sample.Waiting, scanWaiting))
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return statistics.Sample{}, fmt.Errorf("sample tasks: %w", err)
	}
	return sample, nil
}

// readCounted reads the newest tasks of a period.
func readCounted(ctx context.Context, tx pgx.Tx, tenant string, sample *statistics.Sample) error {
	sql, args := selectNewest, []any{firstID(sample.From.Add(-clockMargin)).String(), statistics.MaxTasks + 1}
	if tenant != "" {
		sql, args = selectTenantNewest, append(args, tenant)
	}
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	tasks, err := pgx.CollectRows(rows, scanCounted)
	if err != nil {
		return err
	}
	sample.Complete = len(tasks) <= statistics.MaxTasks
	for _, t := range tasks[:min(len(tasks), statistics.MaxTasks)] {
		if !t.CreateTime.Before(sample.From) {
			sample.Tasks = append(sample.Tasks, t)
		}
	}
	// All tasks of the period were read if older ones were.
	sample.Complete = sample.Complete || len(sample.Tasks) < statistics.MaxTasks
	return nil
}

// timed returns the newest tasks that have left a state.
func timed(tasks []statistics.Task) []task.ID {
	ids := make([]task.ID, 0, min(len(tasks), statistics.MaxTimed))
	for _, t := range tasks {
		if t.Revision > 1 && len(ids) < statistics.MaxTimed {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

func scanCounted(row pgx.CollectableRow) (t statistics.Task, err error) {
	return t, row.Scan(&t.ID, &t.State, &t.Reason, &t.CreateTime, &t.UpdateTime, &t.Revision)
}

func scanTimedEvent(row pgx.CollectableRow) (e statistics.Event, err error) {
	return e, row.Scan(&e.Task, &e.State, &e.Time)
}

func scanWaiting(row pgx.CollectableRow) (w statistics.Waiting, err error) {
	return w, row.Scan(&w.ID, &w.Tenant, &w.Provider, &w.Model, &w.Since)
}
