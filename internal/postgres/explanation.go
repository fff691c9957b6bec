package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/explain"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// selectExplainedTask reads a task of tenant $2, or with $3 of any tenant.
var selectExplainedTask = `SELECT ` + taskColumns + ` FROM task WHERE id = $1 AND (tenant = $2 OR $3)`

const selectAttemptTimes = `
SELECT id, answer_time, settle_time, last_check_time, next_check_time, checks
FROM attempt
WHERE task_id = $1`

// selectEdgeEvents reads the first and the last $2 events of a task. Revisions have no gaps.
const selectEdgeEvents = `
SELECT ` + eventColumns + `
FROM task_event
WHERE task_id = $1
  AND (revision <= $2 OR revision > (SELECT revision FROM task WHERE id = $1) - $2)
ORDER BY revision`

// selectEdgeCallbacks reads the first and the last $2 callbacks of a task. The inbox bounds how many an attempt has.
const selectEdgeCallbacks = `
SELECT id, number, provider_task_id, verdict, receive_time, total
FROM (SELECT callback.id, attempt.number, callback.provider_task_id, callback.verdict, callback.receive_time,
             row_number() OVER (ORDER BY callback.receive_time, callback.id) AS place, count(*) OVER () AS total
      FROM attempt
      JOIN callback ON callback.attempt_id = attempt.id
      WHERE attempt.task_id = $1) AS placed
WHERE place <= $2 OR place > total - $2
ORDER BY place`

const selectFailedSaves = `
SELECT attempt.number, trouble.*
FROM attempt
CROSS JOIN LATERAL (SELECT update_time, ` + saveTroubleColumns + ` FROM save_trouble WHERE attempt_id = attempt.id) AS trouble
WHERE attempt.task_id = $1
ORDER BY trouble.update_time`

// selectSavedOutputs reads the outputs of all attempts, of which a retry can adopt one.
const selectSavedOutputs = `
SELECT attempt.number, output.create_time, output.index, output.content_type, output.size_bytes, output.duration_ms
FROM attempt
JOIN output ON output.attempt_id = attempt.id
WHERE attempt.task_id = $1
ORDER BY output.create_time, attempt.number, output.index`

// selectEdgeRequests reads the first and the last $2 requests to webhook endpoints about a task.
const selectEdgeRequests = `
SELECT placed.endpoint_id::text, placed.revision, delivery.task_state, delivery.state, delivery.next_attempt_time,
       start_time, duration_ms, status, error, last, total
FROM (SELECT endpoint_id, revision, start_time, duration_ms, status, error,
             row_number() OVER (ORDER BY start_time, revision, endpoint_id) AS place,
             row_number() OVER (PARTITION BY revision, endpoint_id ORDER BY start_time DESC) = 1 AS last,
             count(*) OVER () AS total
      FROM webhook_attempt
      WHERE task_id = $1) AS placed
JOIN webhook_delivery AS delivery
    ON delivery.task_id = $1 AND delivery.revision = placed.revision AND delivery.endpoint_id = placed.endpoint_id
WHERE place <= $2 OR place > total - $2
ORDER BY place`

// selectPendingDeliveries leaves out those of endpoints to which nothing is sent.
const selectPendingDeliveries = `
SELECT delivery.endpoint_id::text, delivery.revision, delivery.task_state, delivery.state, delivery.next_attempt_time
FROM webhook_delivery AS delivery
JOIN webhook_endpoint AS endpoint ON endpoint.id = delivery.endpoint_id AND endpoint.delete_time IS NULL AND endpoint.disabled IS NULL
WHERE delivery.task_id = $1 AND delivery.state = 'PENDING'
ORDER BY delivery.next_attempt_time, delivery.revision
LIMIT $2`

const selectTaskPreparation = `
SELECT preparation.account, preparation.create_time, preparation.tries, preparation.message
FROM preparation_task AS waiter
JOIN preparation ON preparation.id = waiter.preparation_id
JOIN task ON task.id = waiter.task_id AND task.revision = waiter.revision
WHERE waiter.task_id = $1`

// TaskRecord implements explain.Store. All statements see one moment, and go to the server together.
func (s *Tasks) TaskRecord(ctx context.Context, c explain.Caller, id task.ID) (explain.Record, error) {
	r := explain.Record{Times: map[task.AttemptID]explain.Times{}}
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		if r.Task, err = s.oneTask(ctx, tx, selectExplainedTask, id, c.Tenant, c.Operator); err != nil {
			return err
		}
		var batch pgx.Batch
		queueRecord(&batch, id, &r)
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return r, fmt.Errorf("read the record: %w", &lifecycle.TaskError{Task: id, Err: dbpool.NotFound(err, lifecycle.ErrTaskNotFound)})
	}
	r.Unread += int(r.Task.Revision) - len(r.Events)
	return r, nil
}

// queueRecord queues what a record has besides the task.
func queueRecord(batch *pgx.Batch, id task.ID, r *explain.Record) {
	batch.Queue(`SELECT now()`).QueryRow(func(row pgx.Row) error { return row.Scan(&r.Now) })
	batch.Queue(selectAttemptTimes, id).Query(func(rows pgx.Rows) error {
		var attempt task.AttemptID
		var answer, settle, last, next *time.Time
		var checks int
		_, err := pgx.ForEachRow(rows, []any{&attempt, &answer, &settle, &last, &next, &checks}, func() error {
			r.Times[attempt] = explain.Times{Answer: orZero(answer), Settle: orZero(settle), LastCheck: orZero(last), NextCheck: orZero(next), Checks: checks}
			return nil
		})
		return err
	})
	batch.Queue(selectEdgeEvents, id, explain.Edge).Query(collect(&r.Events, scanEvent))
	var callbacks, requests int
	batch.Queue(selectEdgeCallbacks, id, explain.Edge).Query(collect(&r.Callbacks, func(row pgx.CollectableRow) (c explain.Callback, err error) {
		return c, row.Scan(&c.ID, &c.Attempt, &c.ProviderTaskID, &c.Verdict, &c.Time, &callbacks)
	}))
	batch.Queue(selectFailedSaves, id).Query(collect(&r.Saves, func(row pgx.CollectableRow) (f explain.FailedSave, err error) {
		err = row.Scan(&f.Attempt, &f.Time, &f.Cause, &f.Message, &f.Since, &f.Until, &f.Storage.Cause, &f.Storage.Since, &f.Storage.Until)
		return f, err
	}))
	batch.Queue(selectSavedOutputs, id).Query(collect(&r.Outputs, func(row pgx.CollectableRow) (o explain.Output, err error) {
		var milliseconds int64
		err = row.Scan(&o.Attempt, &o.Time, &o.Index, &o.ContentType, &o.SizeBytes, &milliseconds)
		o.Duration = time.Duration(milliseconds) * time.Millisecond
		return o, err
	}))
	batch.Queue(selectEdgeRequests, id, explain.Edge).Query(collect(&r.Requests, func(row pgx.CollectableRow) (q explain.Request, err error) {
		var next *time.Time
		var milliseconds int64
		err = row.Scan(&q.Endpoint, &q.Revision, &q.TaskState, &q.State, &next, &q.Time, &milliseconds, &q.Status, &q.Error, &q.Last, &requests)
		q.Next, q.Duration = orZero(next), time.Duration(milliseconds)*time.Millisecond
		return q, err
	}))
	batch.Queue(selectPendingDeliveries, id, explain.Edge).Query(collect(&r.Deliveries, func(row pgx.CollectableRow) (d explain.Delivery, err error) {
		return d, row.Scan(&d.Endpoint, &d.Revision, &d.TaskState, &d.State, &d.Next)
	}))
	batch.Queue(selectTaskPreparation, id).Query(func(rows pgx.Rows) error {
		p, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (p explain.Preparation, err error) {
			return p, row.Scan(&p.Account, &p.Begin, &p.Tries, &p.Message)
		})
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
		} else {
			r.Source = &p
		}
		r.Unread += max(callbacks-len(r.Callbacks), 0) + max(requests-len(r.Requests), 0)
		return err
	})
}

// collect returns what reads the rows of a query of a batch into a list.
func collect[T any](list *[]T, scan pgx.RowToFunc[T]) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*list, err = pgx.CollectRows(rows, scan)
		return err
	}
}

// selectLongInState reads, of each state, the tasks that have been in it for the longest time, and merges them. So its cost depends on
// neither the number of tasks nor on how many are in a state for a short time.
const selectLongInState = `
SELECT oldest.id, oldest.tenant, oldest.provider, oldest.state, oldest.update_time,
       extract(epoch FROM now() - oldest.update_time)::float8, coalesce(newest.account, ''), coalesce(newest.remote_model, '')
FROM (SELECT long.*
      FROM unnest($1::text[], $2::float8[]) AS bound (state, seconds)
      CROSS JOIN LATERAL (
          SELECT id, tenant, provider, state, update_time
          FROM task
          WHERE task.state = bound.state AND task.state IN ('QUEUED', 'SUBMITTING', 'RUNNING', 'SAVING')
            AND update_time <= now() - make_interval(secs => bound.seconds) AND (update_time, id) > ($3::timestamptz, $4::uuid)
          ORDER BY state, update_time, id
          LIMIT $5
      ) AS long
      ORDER BY long.update_time, long.id
      LIMIT $5) AS oldest
LEFT JOIN LATERAL (
    SELECT account, remote_model
    FROM attempt
    WHERE attempt.task_id = oldest.id AND oldest.state = 'RUNNING'
    ORDER BY number DESC
    LIMIT 1
) AS newest ON true
ORDER BY oldest.update_time, oldest.id`

// LongInState implements explain.Store.
func (s *Tasks) LongInState(ctx context.Context, bounds map[task.State]time.Duration, after explain.Place, limit int) ([]explain.Candidate, error) {
	var states []string
	var seconds []float64
	for state, bound := range bounds {
		states, seconds = append(states, string(state)), append(seconds, bound.Seconds())
	}
	if after.ID == "" {
		after.ID = noTask
	}
	rows, err := s.pool.Query(ctx, selectLongInState, states, seconds, after.Time, after.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("read tasks that are long in their state: %w", err)
	}
	candidates, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c explain.Candidate, err error) {
		var age float64 // Seconds.
		err = row.Scan(&c.ID, &c.Tenant, &c.Provider, &c.State, &c.Since, &age, &c.Account, &c.Remote)
		c.Age = time.Duration(age * float64(time.Second))
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read tasks that are long in their state: %w", err)
	}
	return candidates, nil
}

// noTask sorts before all ids of tasks.
const noTask = "00000000-0000-0000-0000-000000000000"

// TasksByID implements explain.Store.
func (s *Tasks) TasksByID(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error) {
	tasks := make(map[task.ID]task.Task, len(ids))
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectTasks, ids)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, scanTask)
		if err != nil {
			return err
		}
		if err := s.complete(ctx, tx, found); err != nil {
			return err
		}
		for _, t := range found {
			tasks[t.ID] = t
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tasks: %w", err)
	}
	return tasks, nil
}
