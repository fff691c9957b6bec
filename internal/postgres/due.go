package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// claimChecks takes due attempts and makes each due again, a tenth sooner or later at random so that checks
// spread out. A replica that dies between claim and check only delays the check.
const claimChecks = `
WITH claimed AS (
    SELECT attempt.id, attempt.task_id, attempt.asked, attempt.remote_model
    FROM attempt
    WHERE attempt.account = $1 AND attempt.next_check_time <= now()
    ORDER BY attempt.next_check_time
    LIMIT $5
    FOR UPDATE OF attempt SKIP LOCKED
), due AS (
    SELECT claimed.*, coalesce(pace.every, $2::float8) AS every, coalesce(pace.typical, $4::float8) AS typical
    FROM claimed
    LEFT JOIN unnest($6::text[], $7::float8[], $8::float8[]) AS pace (remote, every, typical) ON pace.remote = claimed.remote_model
)
UPDATE attempt
SET asked = false, last_check_time = now(), checks = checks + 1,
    next_check_time = now() + (0.9 + 0.2 * random()) * make_interval(secs =>
        CASE WHEN task.state IN ('SUCCEEDED', 'FAILED', 'CANCELED') THEN $3::float8
             WHEN now() - attempt.create_time BETWEEN make_interval(secs => due.typical / 2) AND make_interval(secs => due.typical * 2)
             THEN due.every
             ELSE due.every * 1.5 END)
FROM due, task
WHERE attempt.id = due.id AND task.id = due.task_id
RETURNING attempt.id, attempt.task_id, coalesce(nullif(attempt.provider_task_id, ''), attempt.hinted_task_id),
    attempt.remote_model, attempt.provider_handle,
    attempt.provider_task_id = '', due.asked, extract(epoch FROM now() - attempt.create_time)::float8,
    extract(epoch FROM now() - least(coalesce(attempt.answer_time, attempt.create_time), now()))::float8, coalesce(task.trace_parent, '')`

// markAsked marks the next check of attempts as an operator's, until it is claimed.
const markAsked = `UPDATE attempt SET asked = true WHERE id = ANY ($1::uuid[])`

// ClaimChecks implements lifecycle.Store.
func (s *Tasks) ClaimChecks(ctx context.Context, account string, c lifecycle.Cadence, limit int) ([]lifecycle.Check, error) {
	remotes, every, typical := make([]string, len(c.Models)), make([]float64, len(c.Models)), make([]float64, len(c.Models))
	for i, m := range c.Models {
		remotes[i], every[i], typical[i] = m.Remote, m.Every.Seconds(), m.Typical.Seconds()
	}
	rows, err := s.pool.Query(ctx, claimChecks, account, c.Every.Seconds(), c.Slow.Seconds(), c.Typical.Seconds(), limit, remotes, every, typical)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (lifecycle.Check, error) {
		c := lifecycle.Check{Account: account}
		var age, submitAge float64 // Seconds.
		err := row.Scan(&c.Attempt, &c.Task, &c.ProviderTaskID, &c.Remote, &c.Handle, &c.Hinted, &c.Asked, &age, &submitAge, &c.TraceParent)
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

// TaskOfAttempt returns the task that an attempt belongs to, or lifecycle.ErrAttemptNotFound.
func (s *Tasks) TaskOfAttempt(ctx context.Context, id task.AttemptID) (task.Task, error) {
	var t task.Task
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		t, err = s.oneTask(ctx, tx, selectTaskByAttempt, id)
		return err
	})
	if err != nil {
		return t, fmt.Errorf("read the task of attempt %s: %w", id, dbpool.NotFound(err, lifecycle.ErrAttemptNotFound))
	}
	return t, nil
}

var selectTaskByAttempt = `SELECT ` + taskColumns + ` FROM task WHERE id = (SELECT task_id FROM attempt WHERE id = $1)`
