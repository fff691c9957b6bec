package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/task"
)

const (
	// lockMissingJobs lets one replica at a time look for missing jobs.
	lockMissingJobs = `SELECT pg_try_advisory_xact_lock(hashtextextended('refract.missing_jobs', 0))`

	// hashMissingJobs makes room for the ids of all live jobs. NOT IN compares with them one by one if their hash table does not fit.
	hashMissingJobs = `SET LOCAL work_mem = '64MB'`

	// selectMissingJobs finds attempts that are to be sent or saved, and that no job works on. An attempt whose task has ended meanwhile
	// needs its job, too: it counts as in flight until the job has settled it. Where a task was changed within a minute, its job may just
	// have been committed.
	selectMissingJobs = `
WITH waiting AS (
    SELECT attempt.id, task.tenant, task.source_uri, attempt.account, 'submit_attempt' AS kind
    FROM attempt
    JOIN task ON task.id = attempt.task_id
    WHERE attempt.answer_time IS NULL AND attempt.state = 'SUBMITTING' AND task.update_time < now() - interval '1 minute'
    UNION ALL
    SELECT result_attempt, tenant, '', '', 'save_outputs'
    FROM task
    WHERE state = 'SAVING' AND update_time < now() - interval '1 minute'
)
SELECT id::text, tenant, source_uri, account, kind
FROM waiting
WHERE id::text NOT IN (
    SELECT args ->> 'attempt_id'
    FROM river_job
    WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled') AND args ->> 'attempt_id' IS NOT NULL)
LIMIT 1000`

	// reviveJobs gives the newest jobs of attempts back to the queue, with all that they know, and returns the attempts. The queue keeps
	// finished jobs for a day.
	reviveJobs = `
UPDATE river_job
SET state = 'available', finalized_at = NULL, scheduled_at = now()
WHERE id IN (
    SELECT max(id)
    FROM river_job
    WHERE state IN ('completed', 'cancelled', 'discarded') AND (kind, args ->> 'attempt_id') IN (SELECT * FROM unnest($1::text[], $2::text[]))
    GROUP BY args ->> 'attempt_id')
RETURNING args ->> 'attempt_id'`
)

// missingJob is a job that is not in the queue.
type missingJob struct {
	Attempt task.AttemptID
	Tenant  string
	Source  string // The URI of the source, for a submission.
	Account string // For a submission.
	Kind    string
}

// job returns the job. The links to a result are lost with the one before, and the provider is asked for them.
func (m missingJob) job() task.Job {
	if m.Kind == (task.SaveOutputs{}).Kind() {
		return task.SaveOutputs{AttemptID: m.Attempt}
	}
	return task.NewSubmitAttempt(m.Attempt, m.Tenant, task.Spec{SourceURI: m.Source}, m.Account)
}

// EnqueueMissing enqueues the jobs of attempts that wait for one and have none, and returns how many those are. A job is enqueued in the
// transaction that makes it necessary, so none is missing as long as the database keeps what it commits. A replica that was at work while
// the database was set back may record there that its job is done, although the database has lost what the job did. A job that is
// enqueued twice does no harm.
func (s *Tasks) EnqueueMissing(ctx context.Context) (int, error) {
	var found []missingJob
	var jobs []task.Job
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var locked bool
		if err := tx.QueryRow(ctx, lockMissingJobs).Scan(&locked); err != nil || !locked {
			return err
		}
		if _, err := tx.Exec(ctx, hashMissingJobs); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectMissingJobs)
		if err != nil {
			return err
		}
		if found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[missingJob]); err != nil || len(found) == 0 {
			return err
		}
		revived, err := revive(ctx, tx, found)
		if err != nil {
			return err
		}
		for _, m := range found {
			if !revived[m.Attempt] {
				jobs = append(jobs, m.job())
			}
		}
		return s.jobs.Insert(ctx, tx, jobs)
	})
	if err != nil {
		return 0, fmt.Errorf("enqueue missing jobs: %w", err)
	}
	s.jobs.Wake(jobs)
	return len(found), nil
}

// revive gives finished jobs back to the queue, and returns their attempts.
func revive(ctx context.Context, tx pgx.Tx, missing []missingJob) (map[task.AttemptID]bool, error) {
	kinds, attempts := make([]string, len(missing)), make([]string, len(missing))
	for i, m := range missing {
		kinds[i], attempts[i] = m.Kind, string(m.Attempt)
	}
	rows, err := tx.Query(ctx, reviveJobs, kinds, attempts)
	if err != nil {
		return nil, err
	}
	revived := map[task.AttemptID]bool{}
	var id task.AttemptID
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		revived[id] = true
		return nil
	})
	return revived, err
}
