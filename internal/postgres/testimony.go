package postgres

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// othersAccepted is whether the newest answer to other tasks at an account, of those admitted since a time, was an
// acceptance. A refusal that is held against its task says nothing of the account.
func othersAccepted(account, since, exceptTask string) string {
	return `coalesce((
    SELECT other.provider_task_id <> ''
    FROM attempt AS other
    WHERE other.account = ` + account + ` AND other.answer_time >= ` + since + ` AND other.create_time > ` + since + `
      AND ` + exceptTask + ` AND (other.provider_task_id <> '' OR other.blame IN ('ACCOUNT', 'CHANCE'))
    ORDER BY other.answer_time DESC
    LIMIT 1), false)`
}

// selectRefusalHistory counts the refusals of an attempt's task by its account before this one, and looks at others since the first. A
// refusal by chance counts only where $2 says so.
var selectRefusalHistory = `
WITH this AS (
    SELECT task_id, account FROM attempt WHERE id = $1
), refused AS (
    SELECT count(*) AS refused, count(*) FILTER (WHERE attempt.blame = 'TASK') AS faults, min(attempt.answer_time) AS first_time
    FROM this
    JOIN attempt ON attempt.task_id = this.task_id AND attempt.account = this.account
        AND (attempt.blame IN ('ACCOUNT', 'TASK') OR attempt.blame = 'CHANCE' AND $2)
)
SELECT refused.refused, refused.faults, ` + othersAccepted("this.account", "refused.first_time", "other.task_id <> this.task_id") + `
FROM this, refused`

// RefusalHistory implements lifecycle.Store.
func (s *Tasks) RefusalHistory(ctx context.Context, id task.AttemptID, chance bool) (task.RefusalHistory, error) {
	var h task.RefusalHistory
	err := s.pool.QueryRow(ctx, selectRefusalHistory, id, chance).Scan(&h.Refusals, &h.Faults, &h.OthersAccepted)
	if err = dbpool.NotFound(err, lifecycle.ErrAttemptNotFound); err != nil {
		return h, fmt.Errorf("read the refusals of the task of attempt %s: %w", id, err)
	}
	return h, nil
}

var selectUploadHistory = `
SELECT refusals, faults, ` + othersAccepted("preparation.account", "preparation.refuse_time", "true") + `
FROM preparation
WHERE id = $1`

// PreparationRefusals implements source.Preparations.
func (s *Preparations) PreparationRefusals(ctx context.Context, id source.PreparationID) (task.RefusalHistory, error) {
	var h task.RefusalHistory
	err := s.pool.QueryRow(ctx, selectUploadHistory, id).Scan(&h.Refusals, &h.Faults, &h.OthersAccepted)
	if err = dbpool.NotFound(err, source.ErrNotFound); err != nil {
		return h, fmt.Errorf("read the refusals of preparation %d: %w", id, err)
	}
	return h, nil
}

const refusePreparation = `
UPDATE preparation
SET refuse_time = coalesce(refuse_time, now()), refusals = refusals + 1, faults = faults + ($2 = 'TASK')::integer
WHERE id = $1`

// RefusePreparation implements source.Preparations.
func (s *Preparations) RefusePreparation(ctx context.Context, id source.PreparationID, blame task.Blame) error {
	if _, err := s.pool.Exec(ctx, refusePreparation, id, blame); err != nil {
		return fmt.Errorf("count a refusal of preparation %d: %w", id, err)
	}
	return nil
}
