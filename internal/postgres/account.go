package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
)

// insertAccount leaves a row alone that is as it should be. ON CONFLICT locks it even where it changes nothing, and would
// wait for a replica that was stopped in a round of admission, for longer than a statement may take.
const insertAccount = `
INSERT INTO provider_account (account, provider)
SELECT $1, $2
WHERE NOT EXISTS (SELECT FROM provider_account WHERE account = $1 AND provider = $2)
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

// accountUpdate pauses a provider account, or ends its probing and its row of unknown outcomes.
type accountUpdate struct {
	account string
	pause   *lifecycle.Pause // Nil to end the probing.
}

// accountUpdates are what a change means for provider accounts.
func accountUpdates(c lifecycle.Change) []accountUpdate {
	var updates []accountUpdate
	if c.Pause != nil {
		updates = append(updates, accountUpdate{c.Pause.Account, c.Pause})
	}
	if c.Resume != "" {
		updates = append(updates, accountUpdate{account: c.Resume})
	}
	return updates
}

func (a accountUpdate) queue(batch *pgx.Batch) {
	p := a.pause
	if p == nil {
		batch.Queue(forgetUnknowns, a.account)
		batch.Queue(resumeAccount, a.account)
		return
	}
	if p.After > 0 {
		batch.Queue(countUnknown, a.account)
	}
	batch.Queue(pauseAccount, a.account, p.Reason, p.For.Seconds(), p.Max.Seconds(), p.Blocks, p.After)
}

// queueAccounts writes what happened to provider accounts in the order of their names, so that sets that pause several
// accounts do not wait for each other. What happened to one account keeps its order; what proved several times in a row
// that it works is said once.
func queueAccounts(batch *pgx.Batch, updates []accountUpdate) {
	slices.SortStableFunc(updates, func(a, b accountUpdate) int { return cmp.Compare(a.account, b.account) })
	updates = slices.CompactFunc(updates, func(a, b accountUpdate) bool {
		return a.account == b.account && a.pause == nil && b.pause == nil
	})
	for _, u := range updates {
		u.queue(batch)
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
