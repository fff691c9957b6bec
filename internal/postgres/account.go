package postgres

import (
	"context"
	"fmt"
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

// pauseAccount pauses an account, and never shortens a pause. One with probing doubles with each in a row, up
// to an hour. All attempts that were under way when the trouble began report it: to an account that is paused
// for it already they are no news, and not the next in the row.
const pauseAccount = `
UPDATE provider_account
SET pause_reason = $2,
    paused_until_time = greatest(paused_until_time, now() + least(interval '1 hour',
        make_interval(secs => $3) * CASE WHEN $4 THEN power(2, least(pauses, 12)) ELSE 1 END)),
    pauses = pauses + CASE WHEN $4 THEN 1 ELSE 0 END
WHERE account = $1
  AND CASE
        WHEN paused_until_time IS NULL OR paused_until_time <= now() THEN true
        WHEN $4 THEN pauses = 0
        ELSE paused_until_time < now() + make_interval(secs => $3)
      END`

// resumeAccount ends the probing of an account that proved to work. It writes nothing otherwise.
const resumeAccount = `
UPDATE provider_account
SET pauses = 0, pause_reason = '', paused_until_time = NULL
WHERE account = $1 AND pauses > 0`
