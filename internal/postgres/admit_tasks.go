package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// lockAccounts makes one replica admit to an account at a time. The others do not wait: the one that holds the
// row admits what they would.
const lockAccounts = `
SELECT account, coalesce(paused_until_time > now(), false), pauses > 0, blocked
FROM provider_account
WHERE provider = $1
ORDER BY account
FOR UPDATE SKIP LOCKED`

// countUsage counts the permits that are taken. An attempt takes one of the window's from its admission
// until one window after its submission was answered: the request reached the provider somewhere in
// between, so however long requests take, no window at the provider ever sees more than the limit. A lost
// attempt may run at the provider for as long as work takes.
//
// NOTE: it runs after the account was locked, in a statement of its own. One that locks and counts would
// count in a snapshot from before the lock, which may lack what the last holder admitted.
const countUsage = `
SELECT (SELECT count(*) FROM attempt WHERE account = $1 AND answer_time IS NULL),
       (SELECT count(*) FROM attempt WHERE account = $1 AND answer_time > now() - make_interval(secs => $2)),
       (SELECT count(*)
        FROM attempt
        WHERE account = $1
          AND (state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING')
               OR state = 'LOST' AND answer_time > now() - interval '20 minutes'))`

// lockQueued locks the tasks that go next. It passes over tasks that somebody is changing right now.
const lockQueued = `
SELECT ` + taskColumns + `
FROM task
WHERE provider = $1 AND state = 'QUEUED' AND (not_before_time IS NULL OR not_before_time <= now())
ORDER BY priority DESC, id
LIMIT $2
FOR UPDATE SKIP LOCKED`

// lockMovable locks tasks that have another provider to go to.
const lockMovable = `
SELECT ` + taskColumns + `
FROM task
WHERE provider = $1 AND state = 'QUEUED' AND route[cardinality(route)] <> provider
ORDER BY priority DESC, id
LIMIT $2
FOR UPDATE SKIP LOCKED`

// AdmitTasks implements lifecycle.Store. The transaction runs at READ COMMITTED and locks the accounts' rows
// first, then the tasks' rows without waiting for any.
func (s *Store) AdmitTasks(ctx context.Context, r lifecycle.Round) ([]task.Task, error) {
	var changed []task.Task
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		usages, err := holdAccounts(ctx, tx, r)
		if err != nil {
			return fmt.Errorf("hold the accounts: %w", err)
		}
		if len(usages) == 0 && len(r.Windows) > 0 {
			return nil // Another replica admits.
		}
		plan := r.Plan(usages)
		switch {
		case len(plan.Permits) > 0:
			next := 0
			changed, err = s.changeQueued(ctx, tx, lockQueued, r.Provider, len(plan.Permits), func(t task.Task) (task.Decision, error) {
				account := plan.Permits[next]
				next++
				return r.Admit(t, account)
			})
		case plan.MoveOn > 0 && len(usages) == len(r.Windows): // Accounts that were not seen may be well.
			changed, err = s.changeQueued(ctx, tx, lockMovable, r.Provider, plan.MoveOn, r.MoveOn)
		}
		return err
	})
	return changed, err
}

func holdAccounts(ctx context.Context, tx pgx.Tx, r lifecycle.Round) ([]lifecycle.Usage, error) {
	rows, err := tx.Query(ctx, lockAccounts, r.Provider)
	if err != nil {
		return nil, err
	}
	held, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u lifecycle.Usage, err error) {
		err = row.Scan(&u.Account, &u.Paused, &u.Probing, &u.Blocked)
		return u, err
	})
	if err != nil {
		return nil, err
	}
	usages := held[:0]
	for _, u := range held {
		window, configured := r.Windows[u.Account]
		if !configured {
			continue // An account of an earlier configuration.
		}
		if err := tx.QueryRow(ctx, countUsage, u.Account, window.Seconds()).Scan(&u.Unanswered, &u.Recent, &u.InFlight); err != nil {
			return nil, err
		}
		usages = append(usages, u)
	}
	return usages, nil
}

// changeQueued changes up to n queued tasks of a provider.
func (s *Store) changeQueued(ctx context.Context, tx pgx.Tx, lock, provider string, n int, decide func(task.Task) (task.Decision, error)) ([]task.Task, error) {
	rows, err := tx.Query(ctx, lock, provider, n)
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
		if decisions[i], err = decide(queued[i]); err != nil {
			return nil, err
		}
		queueDecision(&batch, &queued[i], &decisions[i].Task, &decisions[i])
		jobs = append(jobs, decisions[i].Jobs...)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("write queued tasks: %w", err)
	}
	changed := make([]task.Task, len(decisions))
	for i, d := range decisions {
		changed[i] = d.Task
	}
	return changed, s.enqueue(ctx, tx, jobs)
}
