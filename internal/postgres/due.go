package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// claimChecks takes due attempts and makes each due again, a tenth sooner or later at random so that checks
// spread out. A replica that dies between claim and check only delays the check.
const claimChecks = `
WITH due AS (
    SELECT attempt.id, attempt.task_id, attempt.asked
    FROM attempt
    WHERE attempt.account = $1 AND attempt.next_check_time <= now()
    ORDER BY attempt.next_check_time
    LIMIT $5
    FOR UPDATE OF attempt SKIP LOCKED
)
UPDATE attempt
SET asked = false, last_check_time = now(),
    next_check_time = now() + (0.9 + 0.2 * random()) * make_interval(secs =>
        CASE WHEN task.state IN ('SUCCEEDED', 'FAILED', 'CANCELED') THEN $3::float8
             WHEN now() - attempt.create_time BETWEEN make_interval(secs => $4::float8 / 2) AND make_interval(secs => $4::float8 * 2)
             THEN $2::float8
             ELSE $2::float8 * 1.5 END)
FROM due, task
WHERE attempt.id = due.id AND task.id = due.task_id
RETURNING attempt.id, attempt.task_id, coalesce(nullif(attempt.provider_task_id, ''), attempt.hinted_task_id),
    attempt.provider_task_id = '', due.asked, extract(epoch FROM now() - attempt.create_time)::float8,
    extract(epoch FROM now() - least(coalesce(attempt.answer_time, attempt.create_time), now()))::float8`

// markAsked marks the next check of attempts as an operator's, until it is claimed.
const markAsked = `UPDATE attempt SET asked = true WHERE id = ANY ($1::uuid[])`

// ClaimChecks implements lifecycle.Store.
func (s *Tasks) ClaimChecks(ctx context.Context, account string, c lifecycle.Cadence, limit int) ([]lifecycle.Check, error) {
	rows, err := s.pool.Query(ctx, claimChecks, account, c.Every.Seconds(), c.Slow.Seconds(), c.Typical.Seconds(), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (lifecycle.Check, error) {
		c := lifecycle.Check{Account: account}
		var age, submitAge float64 // Seconds.
		err := row.Scan(&c.Attempt, &c.Task, &c.ProviderTaskID, &c.Hinted, &c.Asked, &age, &submitAge)
		c.Age, c.SubmitAge = time.Duration(age*float64(time.Second)), time.Duration(submitAge*float64(time.Second))
		return c, err
	})
}

// selectTypical is the median of the last fifty attempts that succeeded, once there are ten.
const selectTypical = `
SELECT coalesce(extract(epoch FROM CASE WHEN count(*) >= 10
    THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY took) END), 0)::float8
FROM (SELECT settle_time - create_time AS took
      FROM attempt
      WHERE account = $1 AND state = 'SUCCEEDED' AND settle_time IS NOT NULL
      ORDER BY settle_time DESC
      LIMIT 50) AS recent`

// TypicalDuration implements lifecycle.Store.
func (s *Tasks) TypicalDuration(ctx context.Context, account string) (time.Duration, error) {
	return typicalDuration(ctx, s.pool, account)
}

func typicalDuration(ctx context.Context, q querier, account string) (time.Duration, error) {
	var seconds float64
	err := q.QueryRow(ctx, selectTypical, account).Scan(&seconds)
	return time.Duration(seconds * float64(time.Second)), err
}

const selectOverdue = `
SELECT id, deadline_time
FROM task
WHERE deadline_time <= now() AND state IN ('QUEUED', 'SUBMITTING', 'RUNNING')
ORDER BY deadline_time
LIMIT $1`

// OverdueTasks implements lifecycle.Store.
func (s *Tasks) OverdueTasks(ctx context.Context, limit int) ([]lifecycle.Overdue, error) {
	rows, err := s.pool.Query(ctx, selectOverdue, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[lifecycle.Overdue])
}

// selectQueueDepth counts at most a hundred thousand queued tasks of a provider, so that a scrape stays cheap.
const selectQueueDepth = `SELECT count(*) FROM (SELECT FROM task WHERE provider = $1 AND state = 'QUEUED' LIMIT 100000) AS queued`

// QueueDepth returns how many tasks of a provider are QUEUED, counted up to 100,000.
func (s *Tasks) QueueDepth(ctx context.Context, provider string) (int64, error) {
	var n int64
	if err := s.pool.QueryRow(ctx, selectQueueDepth, provider).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the queue of %s: %w", provider, err)
	}
	return n, nil
}

// TaskOfAttempt returns the task that an attempt belongs to, or lifecycle.ErrAttemptNotFound.
func (s *Tasks) TaskOfAttempt(ctx context.Context, id task.AttemptID) (task.Task, error) {
	var t task.Task
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		t, err = s.oneTask(ctx, tx, selectTaskByAttempt, id)
		return err
	})
	if err != nil {
		return t, fmt.Errorf("read the task of attempt %s: %w", id, notFound(err, lifecycle.ErrAttemptNotFound))
	}
	return t, nil
}

var selectTaskByAttempt = `SELECT ` + taskColumns + ` FROM task WHERE id = (SELECT task_id FROM attempt WHERE id = $1)`
