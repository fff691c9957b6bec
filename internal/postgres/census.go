package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/task"
)

// censusLimit bounds how many tasks a census reads, so that it costs no more however many there are.
const censusLimit = 100_000

// countActive counts the tasks that have a deadline to keep, those with the earliest deadlines if there are more. index task_deadline
// has just them. What a held task waits for is looked up only for held tasks.
const countActive = `
WITH active AS MATERIALIZED (
    SELECT id, revision, provider, state, update_time, not_before_time
    FROM task
    WHERE state IN ('QUEUED', 'SUBMITTING', 'RUNNING')
    ORDER BY deadline_time
    LIMIT $1
), grouped AS (
    SELECT provider, state, update_time,
           CASE WHEN state <> 'QUEUED' OR not_before_time IS NULL OR not_before_time <= now() THEN ''
                WHEN not_before_time < 'infinity' THEN 'RETRY_DELAY'
                WHEN EXISTS (SELECT FROM preparation_task AS waiter WHERE waiter.task_id = active.id AND waiter.revision = active.revision) THEN 'SOURCE'
                ELSE 'OFFERING_CLOSED' END AS cause
    FROM active
)
SELECT provider, state, cause, count(*), extract(epoch FROM now() - min(update_time))::float8
FROM grouped
GROUP BY provider, state, cause`

// countSaving counts the tasks in SAVING, those that have been there for the longest time if there are more. They keep no deadline, so
// index task_deadline has none of them, and index task_in_state has all.
const countSaving = `
SELECT provider, state, '', count(*), extract(epoch FROM now() - min(update_time))::float8
FROM (
    SELECT provider, state, update_time
    FROM task
    WHERE state = 'SAVING'
    ORDER BY update_time, id
    LIMIT $1
) AS saving
GROUP BY provider, state`

// selectCensusAccount reads of an account what its usage does not have.
const selectCensusAccount = `
SELECT provider, (SELECT count(*) FROM attempt WHERE account = $1 AND state = 'UNCONFIRMED')
FROM provider_account
WHERE account = $1`

const selectAdmissionClosed = `SELECT EXISTS (SELECT FROM installation WHERE close_reason IS NOT NULL)`

// Census counts the tasks that have not ended, and reads how accounts stand. configured names the accounts, and gives their configured
// limits. Of more than 100,000 tasks it counts as many.
func (s *Tasks) Census(ctx context.Context, configured admission.AccountLimits) (c admission.Census, err error) {
	err = s.snapshot(ctx, func(tx pgx.Tx) error {
		for _, statement := range []string{countActive, countSaving} {
			rows, err := tx.Query(ctx, statement, censusLimit)
			if err != nil {
				return err
			}
			groups, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g admission.TaskGroup, err error) {
				var state, cause string
				var oldest float64 // Seconds.
				err = row.Scan(&g.Provider, &state, &cause, &g.Tasks, &oldest)
				g.State, g.Cause, g.Oldest = task.State(state), task.WaitCause(cause), time.Duration(oldest*float64(time.Second))
				return g, err
			})
			if err != nil {
				return err
			}
			c.Groups = append(c.Groups, groups...)
		}
		usages, err := accountUsages(ctx, tx, selectNamedAccounts, slices.Sorted(maps.Keys(configured)), configured)
		if err != nil {
			return err
		}
		var batch pgx.Batch
		batch.Queue(selectStorage).QueryRow(func(row pgx.Row) error { return row.Scan(&c.Storage) })
		batch.Queue(selectAdmissionClosed).QueryRow(func(row pgx.Row) error { return row.Scan(&c.Closed) })
		c.Accounts = make([]admission.Account, len(usages))
		for i, u := range usages {
			a := &c.Accounts[i]
			a.Usage, a.Configured = u, configured[u.Account]
			batch.Queue(selectCensusAccount, u.Account).QueryRow(func(row pgx.Row) error { return row.Scan(&a.Provider, &a.Unknown) })
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return admission.Census{}, fmt.Errorf("count the tasks that have not ended: %w", err)
	}
	return c, nil
}
