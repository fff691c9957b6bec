package inbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/refract-video/refract/internal/lifecycle"
)

// KeptBytes is how many bytes of bodies are kept of the accepted callbacks of an attempt, and of the refused ones, where that is
// more than one. It is an SQL expression.
const KeptBytes = `262144`

// insertRefusedCallback keeps at most $6 refused callbacks of an attempt, and no second one beyond KeptBytes. Two at
// once may both be kept, which the bound can bear. An empty body is stored as such, which a nil slice would not be.
const insertRefusedCallback = `
INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body, receive_time)
SELECT $1, $2, $3, $4, coalesce($5::bytea, ''::bytea), coalesce($7::timestamptz, now())
WHERE (SELECT count(*) = 0 OR count(*) < $6 AND sum(octet_length(body)) + coalesce(octet_length($5), 0) <= ` + KeptBytes + `
       FROM callback
       WHERE attempt_id = $1 AND verdict IN ('bad_signature', 'stale', 'malformed'))`

// moveRefusedCallback does so with a callback of the intake, which it removes there, kept or not.
const moveRefusedCallback = `
WITH settled AS (DELETE FROM callback_intake WHERE id = $8)` + insertRefusedCallback

// KeepCallback implements lifecycle.Inbox.
func (s *Store) KeepCallback(ctx context.Context, c lifecycle.Callback, limit int) error {
	statement, args := insertRefusedCallback, []any{c.AttemptID, c.Account, c.ProviderTaskID, c.Verdict, c.Body, limit, nil}
	if c.Intake != nil {
		args[len(args)-1] = c.Intake.ReceiveTime
		statement, args = moveRefusedCallback, append(args, c.Intake.ID)
	}
	_, err := s.pool.Exec(ctx, statement, args...)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.ConstraintName == "callback_attempt_fkey" {
		err = lifecycle.ErrAttemptNotFound
	}
	if err != nil {
		return fmt.Errorf("insert callback: %w", err)
	}
	return nil
}
