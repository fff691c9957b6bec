package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/lifecycle"
)

// Store has the callbacks. It implements lifecycle.Inbox.
type Store struct{ pool *pgxpool.Pool }

// New returns the inbox of a database.
func New(pool *pgxpool.Pool) *Store { return &Store{pool} }

// inboxColumns are the columns of a callback that scanInbox reads, in its order, but for the body.
const inboxColumns = `callback.id, callback.attempt_id, attempt.task_id, attempt.number, callback.account, callback.provider_task_id,
	callback.verdict, callback.receive_time, octet_length(callback.body)`

// listCallbacks reads a page by key: the newest of each account and verdict that is asked for, of which there are
// a few dozen together, and then the newest of these. One index thus serves every filter, and the cost does not
// grow with the inbox.
const listCallbacks = `
WITH page AS MATERIALIZED (
    SELECT newest.receive_time, newest.id
    FROM provider_account
    CROSS JOIN unnest($2::text[]) AS asked (verdict)
    CROSS JOIN LATERAL (
        SELECT receive_time, id
        FROM callback
        WHERE account = provider_account.account AND verdict = asked.verdict
          AND receive_time >= coalesce($3::timestamptz, '-infinity')
          AND (receive_time, id) < (coalesce($4::timestamptz, 'infinity'), $5::bigint)
        ORDER BY receive_time DESC, id DESC
        LIMIT $6
    ) AS newest
    WHERE $1 = '' OR provider_account.account = $1
    ORDER BY newest.receive_time DESC, newest.id DESC
    LIMIT $6
)
SELECT ` + inboxColumns + `
FROM page
JOIN callback ON callback.id = page.id
JOIN attempt ON attempt.id = callback.attempt_id
ORDER BY callback.receive_time DESC, callback.id DESC`

// listTaskCallbacks reads a page of the callbacks about one task, which are few.
const listTaskCallbacks = `
SELECT ` + inboxColumns + `
FROM attempt
JOIN callback ON callback.attempt_id = attempt.id
WHERE ($1 = '' OR callback.account = $1) AND callback.verdict = ANY ($2::text[])
  AND callback.receive_time >= coalesce($3::timestamptz, '-infinity')
  AND (callback.receive_time, callback.id) < (coalesce($4::timestamptz, 'infinity'), $5::bigint)
  AND attempt.task_id = $7
ORDER BY callback.receive_time DESC, callback.id DESC
LIMIT $6`

// Callbacks returns callbacks of the inbox, newest first, without their bodies.
func (s *Store) Callbacks(ctx context.Context, f callback.Filter) ([]callback.Stored, error) {
	verdicts := f.Verdicts
	if len(verdicts) == 0 {
		verdicts = lifecycle.Verdicts
	}
	// One bound from above: of two, the index would begin at either. Ids begin at 1, so 0 is before all of a time.
	before := f.Before
	if !f.ToTime.IsZero() && (before.Time.IsZero() || f.ToTime.Before(before.Time)) {
		before = callback.Place{Time: f.ToTime}
	}
	statement := listCallbacks
	args := []any{f.Account, verdicts, optional(f.FromTime), optional(before.Time), before.ID, f.Limit}
	if f.Task != "" {
		statement, args = listTaskCallbacks, append(args, f.Task)
	}
	rows, err := s.pool.Query(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("list callbacks: %w", err)
	}
	callbacks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (callback.Stored, error) {
		return scanInbox(row)
	})
	if err != nil {
		return nil, fmt.Errorf("list callbacks: %w", err)
	}
	return callbacks, nil
}

// optional returns nil, which is NULL, for the zero time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const selectCallback = `
SELECT ` + inboxColumns + `, callback.body
FROM callback
JOIN attempt ON attempt.id = callback.attempt_id
WHERE callback.id = $1`

// InboxCallback returns one callback with its body, or callback.ErrNotFound.
func (s *Store) InboxCallback(ctx context.Context, id callback.ID) (callback.Stored, error) {
	var body []byte
	c, err := scanInbox(s.pool.QueryRow(ctx, selectCallback, id), &body)
	c.Body = body
	if errors.Is(err, pgx.ErrNoRows) {
		err = callback.ErrNotFound
	}
	if err != nil {
		return c, fmt.Errorf("read: %w", &callback.Error{Callback: id, Err: err})
	}
	return c, nil
}

// scanInbox reads a row of inboxColumns, and what follows them.
func scanInbox(row pgx.Row, further ...any) (callback.Stored, error) {
	var c callback.Stored
	err := row.Scan(append([]any{
		&c.ID, &c.AttemptID, &c.Task, &c.Attempt, &c.Account, &c.ProviderTaskID, &c.Verdict, &c.ReceiveTime, &c.SizeBytes,
	}, further...)...)
	return c, err
}
