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

const insertAccount = `INSERT INTO provider_account (provider) VALUES ($1) ON CONFLICT DO NOTHING`

// lockAccount makes one replica admit at a time. The others do not wait: the one that holds the row admits
// what they would.
const lockAccount = `
SELECT coalesce(paused_until_time > now(), false), pauses > 0
FROM provider_account
WHERE provider = $1
FOR UPDATE SKIP LOCKED`

// countUsage counts the permits that are taken. An attempt takes one of the window's from its admission
// until one window after its submission was answered: the request reached the provider somewhere in
// between, so however long requests take, no window at the provider ever sees more than the limit.
const countUsage = `
SELECT (SELECT count(*) FROM attempt WHERE provider = $1 AND answer_time IS NULL),
       (SELECT count(*) FROM attempt WHERE provider = $1 AND answer_time > now() - make_interval(secs => $2)),
       (SELECT count(*) FROM attempt WHERE provider = $1 AND state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING'))`

// lockQueued locks the tasks that go next. It passes over tasks that somebody is changing right now.
const lockQueued = `
SELECT ` + taskColumns + `
FROM task
WHERE provider = $1 AND state = 'QUEUED' AND (not_before_time IS NULL OR not_before_time <= now())
ORDER BY priority DESC, id
LIMIT $2
FOR UPDATE SKIP LOCKED`

// pauseAccount pauses an account, and never shortens a pause. One with probing doubles with each in a row, up
// to an hour. All attempts that were under way when the trouble began report it: to an account that is paused
// for it already they are no news, and not the next in the row.
const pauseAccount = `
UPDATE provider_account
SET pause_reason = $2,
    paused_until_time = greatest(paused_until_time, now() + least(interval '1 hour',
        make_interval(secs => $3) * CASE WHEN $4 THEN power(2, least(pauses, 12)) ELSE 1 END)),
    pauses = pauses + CASE WHEN $4 THEN 1 ELSE 0 END
WHERE provider = $1
  AND CASE
        WHEN paused_until_time IS NULL OR paused_until_time <= now() THEN true
        WHEN $4 THEN pauses = 0
        ELSE paused_until_time < now() + make_interval(secs => $3)
      END`

// resumeAccount ends the probing of an account that proved to work. It writes nothing otherwise.
const resumeAccount = `
UPDATE provider_account
SET pauses = 0, pause_reason = '', paused_until_time = NULL
WHERE provider = $1 AND pauses > 0`

// AdmitTasks implements lifecycle.Store. The transaction runs at READ COMMITTED and locks the account's row
// first, then the admitted tasks' rows without waiting for any.
func (s *Store) AdmitTasks(ctx context.Context, provider string, window time.Duration, permits func(lifecycle.Usage) int,
	admit func(task.Task) (task.Decision, error),
) ([]task.Task, error) {
	var admitted []task.Task
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		usage, err := holdAccount(ctx, tx, provider, window)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // Another replica admits.
		}
		if err != nil {
			return fmt.Errorf("hold the account: %w", err)
		}
		n := permits(usage)
		if n <= 0 {
			return nil
		}
		admitted, err = s.admit(ctx, tx, provider, n, admit)
		return err
	})
	return admitted, err
}

func holdAccount(ctx context.Context, tx pgx.Tx, provider string, window time.Duration) (lifecycle.Usage, error) {
	var u lifecycle.Usage
	if err := tx.QueryRow(ctx, lockAccount, provider).Scan(&u.Paused, &u.Probing); err != nil {
		return u, err
	}
	err := tx.QueryRow(ctx, countUsage, provider, window.Seconds()).Scan(&u.Unanswered, &u.Recent, &u.InFlight)
	return u, err
}

func (s *Store) admit(ctx context.Context, tx pgx.Tx, provider string, n int, admit func(task.Task) (task.Decision, error)) ([]task.Task, error) {
	rows, err := tx.Query(ctx, lockQueued, provider, n)
	if err != nil {
		return nil, fmt.Errorf("read the queue: %w", err)
	}
	queued, err := pgx.CollectRows(rows, scanTask)
	if err != nil {
		return nil, fmt.Errorf("read the queue: %w", err)
	}
	if len(queued) == 0 {
		return nil, nil
	}
	if err := complete(ctx, tx, queued); err != nil {
		return nil, fmt.Errorf("read the attempts of queued tasks: %w", err)
	}
	var batch pgx.Batch
	var jobs []task.Job
	decisions := make([]task.Decision, len(queued))
	for i := range queued {
		if decisions[i], err = admit(queued[i]); err != nil {
			return nil, err
		}
		queueDecision(&batch, &queued[i], &decisions[i].Task, &decisions[i])
		jobs = append(jobs, decisions[i].Jobs...)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("write admitted tasks: %w", err)
	}
	admitted := make([]task.Task, len(decisions))
	for i, d := range decisions {
		admitted[i] = d.Task
	}
	return admitted, s.enqueue(ctx, tx, jobs)
}

// PrepareAccounts makes the rows that admission holds.
func (s *Store) PrepareAccounts(ctx context.Context, providers []string) error {
	for _, p := range providers {
		if _, err := s.pool.Exec(ctx, insertAccount, p); err != nil {
			return fmt.Errorf("prepare the account of %s: %w", p, err)
		}
	}
	return nil
}
