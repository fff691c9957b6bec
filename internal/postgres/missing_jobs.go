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

	// selectMissingJobs finds attempts that are to be sent or saved, and that no job works on. Where a task was changed within a minute,
	// its job may be about to end. Index task_in_state leads to the tasks.
	selectMissingJobs = `
SELECT attempt.id::text, task.tenant, task.state
FROM task
JOIN attempt ON attempt.task_id = task.id
WHERE (task.state = 'SUBMITTING' AND attempt.state = 'SUBMITTING' OR task.state = 'SAVING' AND attempt.id = task.result_attempt)
  AND task.state IN ('SUBMITTING', 'SAVING') AND task.update_time < now() - interval '1 minute'
  AND NOT EXISTS (
    SELECT
    FROM river_job
    WHERE river_job.state IN ('available', 'pending', 'retryable', 'running', 'scheduled')
      AND river_job.args ->> 'attempt_id' = attempt.id::text)
ORDER BY task.update_time, task.id
LIMIT 1000
FOR UPDATE OF task SKIP LOCKED`
)

// EnqueueMissing enqueues the jobs of attempts that wait for one and have none, and returns how many those are. A job is enqueued in the
// transaction that makes it necessary, so none is missing as long as the database keeps what it commits. A replica that was at work while
// the database was set back may record there that its job is done, although the database has lost what the job did.
func (s *Tasks) EnqueueMissing(ctx context.Context) (int, error) {
	var jobs []task.Job
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var locked bool
		if err := tx.QueryRow(ctx, lockMissingJobs).Scan(&locked); err != nil || !locked {
			return err
		}
		rows, err := tx.Query(ctx, selectMissingJobs)
		if err != nil {
			return err
		}
		var id task.AttemptID
		var tenant string
		var state task.State
		if _, err := pgx.ForEachRow(rows, []any{&id, &tenant, &state}, func() error {
			if state == task.Saving {
				jobs = append(jobs, task.SaveOutputs{AttemptID: id})
			} else {
				jobs = append(jobs, task.SubmitAttempt{AttemptID: id, Tenant: tenant})
			}
			return nil
		}); err != nil {
			return err
		}
		return s.jobs.Insert(ctx, tx, jobs)
	})
	if err != nil {
		return 0, fmt.Errorf("enqueue missing jobs: %w", err)
	}
	s.jobs.Wake(jobs)
	return len(jobs), nil
}
