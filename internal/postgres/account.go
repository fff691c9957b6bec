package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
)

const insertAccount = `
INSERT INTO provider_account (account, provider)
VALUES ($1, $2)
ON CONFLICT ON CONSTRAINT provider_account_pkey DO UPDATE SET provider = excluded.provider
WHERE provider_account.provider <> excluded.provider`

// PrepareAccounts makes the rows that admission holds. accounts gives the provider of each account.
func (s *Store) PrepareAccounts(ctx context.Context, accounts map[string]string) error {
	for account, provider := range accounts {
		if _, err := s.pool.Exec(ctx, insertAccount, account, provider); err != nil {
			return fmt.Errorf("prepare account %s: %w", account, err)
		}
	}
	return nil
}

// queueAccount writes what a change means for the provider account.
func queueAccount(batch *pgx.Batch, c lifecycle.Change) {
	if p := c.Pause; p != nil {
		if p.After > 0 {
			batch.Queue(countUnknown, p.Account)
		}
		batch.Queue(pauseAccount, p.Account, p.Reason, p.For.Seconds(), p.Max.Seconds(), p.Blocks, p.After)
	}
	if c.Resume != "" {
		batch.Queue(forgetUnknowns, c.Resume)
		batch.Queue(resumeAccount, c.Resume)
	}
}

// countUnknown counts a submission whose outcome is unknown, before pauseAccount looks at the number.
const countUnknown = `UPDATE provider_account SET unknowns = unknowns + 1 WHERE account = $1`

// pauseAccount pauses an account, for longer with each pause in a row, and never shortens a pause. All attempts
// that were under way when the trouble began report it: to an account that is paused already they are not the
// next in the row. One that is found blocked altogether begins a row of its own. An unknown outcome pauses only as
// one of $6 in a row, or as a probe's.
const pauseAccount = `
WITH state AS (
    SELECT account,
           paused_until_time IS NULL OR paused_until_time <= now() AS over,
           $5 AND NOT blocked AS worse,
           CASE WHEN $5 AND NOT blocked THEN 0 ELSE pauses END AS in_row
    FROM provider_account
    WHERE account = $1
    FOR UPDATE
)
UPDATE provider_account AS a
SET paused_until_time = greatest(paused_until_time, now() + CASE
        WHEN over OR worse THEN least(make_interval(secs => $4), make_interval(secs => $3) * power(2, least(in_row, 12)))
        ELSE make_interval(secs => $3) END),
    pause_reason = CASE WHEN over OR worse THEN $2 ELSE pause_reason END,
    pauses = in_row + CASE WHEN over OR worse THEN 1 ELSE 0 END,
    blocked = $5 OR blocked AND NOT over
FROM state
WHERE a.account = state.account AND (a.unknowns >= $6 OR a.pauses > 0)`

// forgetUnknowns ends the row of unknown outcomes.
const forgetUnknowns = `UPDATE provider_account SET unknowns = 0 WHERE account = $1 AND unknowns > 0`

// resumeAccount ends the probing of an account that proved to work. An answer that comes while the pause still
// lasts is of before it, and proves nothing.
const resumeAccount = `
UPDATE provider_account
SET pauses = 0, pause_reason = '', paused_until_time = NULL, blocked = false
WHERE account = $1 AND pauses > 0 AND paused_until_time <= now()`
