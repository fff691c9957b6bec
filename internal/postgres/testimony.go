package postgres

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// selectTestimony counts the refusals of an attempt's task by its account before this one, and looks at the newest answer to
// another task that was admitted since the first of them. A refusal that is held against its task says nothing of the account.
const selectTestimony = `
WITH this AS (
    SELECT task_id, account FROM attempt WHERE id = $1
), refused AS (
    SELECT count(*) AS refused, count(*) FILTER (WHERE attempt.blame = 'TASK') AS faults, min(attempt.answer_time) AS first_time
    FROM this
    JOIN attempt ON attempt.task_id = this.task_id AND attempt.account = this.account AND attempt.blame <> ''
)
SELECT refused.refused, refused.faults, coalesce((
    SELECT other.provider_task_id <> ''
    FROM attempt AS other
    WHERE other.account = this.account AND other.answer_time >= refused.first_time AND other.create_time > refused.first_time
      AND other.task_id <> this.task_id AND (other.provider_task_id <> '' OR other.blame = 'ACCOUNT')
    ORDER BY other.answer_time DESC
    LIMIT 1), false)
FROM this, refused`

// Testimony implements lifecycle.Store.
func (s *Store) Testimony(ctx context.Context, id task.AttemptID) (lifecycle.Testimony, error) {
	var t lifecycle.Testimony
	err := s.pool.QueryRow(ctx, selectTestimony, id).Scan(&t.Refused, &t.Faults, &t.Accepted)
	if err = notFound(err, lifecycle.ErrAttemptNotFound); err != nil {
		return t, fmt.Errorf("read what other tasks say of the account of attempt %s: %w", id, err)
	}
	return t, nil
}
