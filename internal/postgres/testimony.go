package postgres

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// newestTestimony is whether the newest answer to other tasks at an account, of those admitted since a time, was an
// acceptance. A refusal that is held against its task says nothing of the account.
func newestTestimony(account, since, exceptTask string) string {
	return `coalesce((
    SELECT other.provider_task_id <> ''
    FROM attempt AS other
    WHERE other.account = ` + account + ` AND other.answer_time >= ` + since + ` AND other.create_time > ` + since + `
      AND ` + exceptTask + ` AND (other.provider_task_id <> '' OR other.blame IN ('ACCOUNT', 'CHANCE'))
    ORDER BY other.answer_time DESC
    LIMIT 1), false)`
}

// selectTestimony counts the refusals of an attempt's task by its account before this one, and looks at others since the first. A
// refusal by chance counts only where $2 says so.
var selectTestimony = `
WITH this AS (
    SELECT task_id, account FROM attempt WHERE id = $1
), refused AS (
    SELECT count(*) AS refused, count(*) FILTER (WHERE attempt.blame = 'TASK') AS faults, min(attempt.answer_time) AS first_time
    FROM this
    JOIN attempt ON attempt.task_id = this.task_id AND attempt.account = this.account
        AND (attempt.blame IN ('ACCOUNT', 'TASK') OR attempt.blame = 'CHANCE' AND $2)
)
SELECT refused.refused, refused.faults, ` + newestTestimony("this.account", "refused.first_time", "other.task_id <> this.task_id") + `
FROM this, refused`

// Testimony implements lifecycle.Store.
func (s *Store) Testimony(ctx context.Context, id task.AttemptID, chance bool) (lifecycle.Testimony, error) {
	var t lifecycle.Testimony
	err := s.pool.QueryRow(ctx, selectTestimony, id, chance).Scan(&t.Refused, &t.Faults, &t.Accepted)
	if err = notFound(err, lifecycle.ErrAttemptNotFound); err != nil {
		return t, fmt.Errorf("read what other tasks say of the account of attempt %s: %w", id, err)
	}
	return t, nil
}

var selectPreparationTestimony = `
SELECT refusals, faults, ` + newestTestimony("preparation.account", "preparation.refuse_time", "true") + `
FROM preparation
WHERE id = $1`

// PreparationTestimony implements dispatch.Preparations.
func (s *Store) PreparationTestimony(ctx context.Context, id source.PreparationID) (lifecycle.Testimony, error) {
	var t lifecycle.Testimony
	err := s.pool.QueryRow(ctx, selectPreparationTestimony, id).Scan(&t.Refused, &t.Faults, &t.Accepted)
	if err = notFound(err, source.ErrNotFound); err != nil {
		return t, fmt.Errorf("read what tasks say of the account of preparation %d: %w", id, err)
	}
	return t, nil
}

const refusePreparation = `
UPDATE preparation
SET refuse_time = coalesce(refuse_time, now()), refusals = refusals + 1, faults = faults + ($2 = 'TASK')::integer
WHERE id = $1`

// RefusePreparation implements dispatch.Preparations.
func (s *Store) RefusePreparation(ctx context.Context, id source.PreparationID, blame task.Blame) error {
	if _, err := s.pool.Exec(ctx, refusePreparation, id, blame); err != nil {
		return fmt.Errorf("count a refusal of preparation %d: %w", id, err)
	}
	return nil
}
