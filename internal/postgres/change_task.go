package postgres

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

const lockTask = `SELECT ` + taskColumns + ` FROM task WHERE id = $1 AND tenant = $2 FOR UPDATE`

const lockAnyTask = `SELECT ` + taskColumns + ` FROM task WHERE id = $1 FOR UPDATE`

const lockTaskByAttempt = `
SELECT ` + taskColumns + `
FROM task
WHERE id = (SELECT task_id FROM attempt WHERE id = $1)
FOR UPDATE`

// ChangeTask implements lifecycle.Store.
func (s *Store) ChangeTask(ctx context.Context, tenant string, id task.ID, decide lifecycle.Decide) (task.Task, error) {
	t, err := s.change(ctx, decide, lockTask, id, tenant)
	return t, notFound(err, lifecycle.ErrTaskNotFound)
}

// ChangeAnyTask implements lifecycle.Store.
func (s *Store) ChangeAnyTask(ctx context.Context, id task.ID, decide lifecycle.Decide) (task.Task, error) {
	t, err := s.change(ctx, decide, lockAnyTask, id)
	return t, notFound(err, lifecycle.ErrTaskNotFound)
}

// ChangeByAttempt implements lifecycle.Store.
func (s *Store) ChangeByAttempt(ctx context.Context, id task.AttemptID, decide lifecycle.Decide) (task.Task, error) {
	t, err := s.change(ctx, decide, lockTaskByAttempt, id)
	return t, notFound(err, lifecycle.ErrAttemptNotFound)
}

// change is the transaction through which a task changes. It runs at READ COMMITTED, locks the task's row
// first, so two changes of one task follow each other; changes of different tasks meet only where both pause
// or resume the provider account, whose row comes last.
func (s *Store) change(ctx context.Context, decide lifecycle.Decide, lock string, args ...any) (task.Task, error) {
	var t task.Task
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := s.oneTask(ctx, tx, lock, args...)
		if err != nil {
			return err
		}
		c, err := decide(before)
		if err != nil {
			return err
		}
		t, err = s.write(ctx, tx, before, c)
		return err
	})
	return t, err
}

// write commits a change to the transaction and returns the task as it is then.
func (s *Store) write(ctx context.Context, tx pgx.Tx, before task.Task, c lifecycle.Change) (task.Task, error) {
	t := c.Task
	var batch pgx.Batch
	if c.Changed {
		queueDecision(&batch, &before, &t, &c.Decision)
	}
	if c.Callback != nil {
		batch.Queue(insertCallback, c.Callback.AttemptID, c.Callback.Account, c.Callback.ProviderTaskID, c.Callback.Verdict,
			c.Callback.Body)
	}
	queueAccount(&batch, c)
	if c.Asked {
		batch.Queue(markAsked, c.Check)
	}
	if batch.Len() > 0 {
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return t, fmt.Errorf("write task %s: %w", t.ID, violation(err, "attempt_provider_task", lifecycle.ErrProviderTaskTaken))
		}
	}
	if err := s.enqueue(ctx, tx, c.Jobs); err != nil {
		return t, err
	}
	tasks := []task.Task{t}
	err := s.completeOutputs(ctx, tx, tasks)
	return tasks[0], err
}

// updateTask writes the state of a task. The time is that of the transaction, which the event shares. A retry
// begins the deadline anew, and the place in line.
const updateTask = `
UPDATE task
SET state = $2, revision = $3, allowance = $4, result_attempt = $5, failure_reason = $6, failure_message = $7,
    failure_payment = $8,
    not_before_time = CASE WHEN $10 THEN now() + make_interval(secs => $9) ELSE not_before_time END,
    update_time = CASE WHEN $10 THEN now() ELSE update_time END,
    deadline_time = CASE WHEN $11 THEN now() + deadline ELSE deadline_time END,
    line_time = CASE WHEN $11 THEN now() - make_interval(mins => priority) ELSE line_time END,
    provider = $12
WHERE id = $1
RETURNING update_time, deadline_time`

const insertEvent = `
INSERT INTO task_event (task_id, revision, state, attempt, message, failure_reason, failure_message, failure_payment)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// insertAttempt writes a new attempt, which is about to be sent.
const insertAttempt = `
INSERT INTO attempt (id, task_id, number, provider, account, state)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING create_time`

// updateAttempt writes an attempt. A settled one has been answered; one that is no longer open is no longer
// checked.
const updateAttempt = `
UPDATE attempt
SET provider_task_id = $2, hinted_task_id = $3, state = $4, sent = $5, saved = $6, message = $7,
    answer_time = CASE WHEN $4 <> 'SUBMITTING' THEN coalesce(answer_time, now()) END,
    settle_time = CASE WHEN $4 IN ('SUCCEEDED', 'FAILED') THEN coalesce(settle_time, now()) END,
    next_check_time = CASE WHEN $4 IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING') THEN next_check_time END
WHERE id = $1`

// scheduleCheck only ever brings a check forward: a callback that overtakes the answer to its submission asks for
// one at once, and the answer for one later. least passes over NULL.
const scheduleCheck = `
UPDATE attempt SET next_check_time = least(next_check_time, now() + make_interval(secs => $2)) WHERE id = $1`

const insertOutput = `
INSERT INTO output (attempt_id, index, key, content_type, size_bytes, sha256, duration_ms, width, height, video_codec)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

func queueDecision(batch *pgx.Batch, before, t *task.Task, d *task.Decision) {
	var reason, message, payment *string
	if f := t.Failure; f != nil {
		reason, message, payment = new(string(f.Reason)), &f.Message, new(string(f.Payment))
	}
	var result *string
	if t.Result != "" {
		result = new(string(t.Result))
	}
	batch.Queue(updateTask, t.ID, t.State, t.Revision, t.Allowance, result, reason, message, payment,
		d.RequeueDelay.Seconds(), d.Event != nil, d.RenewDeadline, t.Provider).QueryRow(func(row pgx.Row) error {
		return row.Scan(&t.UpdateTime, &t.DeadlineTime)
	})
	if e := d.Event; e != nil {
		batch.Queue(insertEvent, t.ID, e.Revision, e.State, e.Attempt, e.Message, reason, message, payment)
	}
	queueAttempts(batch, before, t)
	if d.Check != "" {
		batch.Queue(scheduleCheck, d.Check, d.CheckDelay.Seconds())
	}
	for _, o := range d.Outputs {
		batch.Queue(insertOutput, d.OutputsOf, o.Index, o.Key, o.ContentType, o.SizeBytes, o.SHA256,
			o.Duration.Milliseconds(), o.Width, o.Height, o.VideoCodec)
	}
}

// queueAttempts writes the attempts that differ from before. Attempts are only ever added at the end.
func queueAttempts(batch *pgx.Batch, before, t *task.Task) {
	for i := range t.Attempts {
		a := &t.Attempts[i]
		switch {
		case i >= len(before.Attempts):
			batch.Queue(insertAttempt, a.ID, t.ID, a.Number, a.Provider, a.Account, a.State).QueryRow(func(row pgx.Row) error {
				return row.Scan(&a.CreateTime)
			})
		case *a != before.Attempts[i]:
			batch.Queue(updateAttempt, a.ID, a.ProviderTaskID, a.HintedTaskID, a.State, a.Sent, a.Saved, a.Message)
		}
	}
}

// enqueue adds jobs, each to the queue of its kind, in the transaction that makes them necessary. They are tried
// for as long as it takes: a job that were thrown away would leave its task where it is.
func (s *Store) enqueue(ctx context.Context, tx pgx.Tx, jobs []task.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		params[i] = river.InsertManyParams{Args: j, InsertOpts: &river.InsertOpts{Queue: j.Kind(), MaxAttempts: math.MaxInt16}}
	}
	if _, err := s.jobs.InsertManyFastTx(ctx, tx, params); err != nil {
		return fmt.Errorf("enqueue jobs: %w", err)
	}
	return nil
}
