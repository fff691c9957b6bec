package postgres

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/lifecycle"
)

// insertRefusedCallback keeps at most $6 refused callbacks of an attempt, and no second one beyond keptCallbackBytes. Two at
// once may both be kept, which the bound can bear. An empty body is stored as such, which a nil slice would not be.
const insertRefusedCallback = `
INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body)
SELECT $1, $2, $3, $4, coalesce($5::bytea, ''::bytea)
WHERE (SELECT count(*) = 0 OR count(*) < $6 AND sum(octet_length(body)) + coalesce(octet_length($5), 0) <= ` + keptCallbackBytes + `
       FROM callback
       WHERE attempt_id = $1 AND verdict IN ('bad_signature', 'stale', 'malformed'))`

// KeepCallback implements lifecycle.Inbox.
func (s *Inbox) KeepCallback(ctx context.Context, c lifecycle.Callback, limit int) error {
	_, err := s.pool.Exec(ctx, insertRefusedCallback, c.AttemptID, c.Account, c.ProviderTaskID, c.Verdict, c.Body, limit)
	if err != nil {
		return fmt.Errorf("insert callback: %w", violation(err, "callback_attempt_fkey", lifecycle.ErrAttemptNotFound))
	}
	return nil
}
