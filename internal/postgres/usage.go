package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
)

// usageColumns are the columns of an account that accountUsages reads, in its order.
const usageColumns = `account, hold_reason IS NOT NULL OR coalesce(paused_until_time > now(), false),
	coalesce(hold_reason, pause_reason), CASE WHEN hold_reason IS NULL THEN paused_until_time END, pauses > 0, blocked, hold_reason IS NOT NULL,
	coalesce(max_submissions, 0), coalesce(extract(epoch FROM rate_window), 0)::float8, coalesce(max_in_flight, 0)`

const selectAccounts = `
SELECT ` + usageColumns + `
FROM provider_account
WHERE provider = $1
ORDER BY account`

// accountUsages reads the configured accounts that a statement selects, and counts their usage by others.
// configured gives the limits that hold where no operator has set any.
func accountUsages(ctx context.Context, q querier, statement string, which any, configured lifecycle.AccountLimits) ([]lifecycle.Usage, error) {
	rows, err := q.Query(ctx, statement, which)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, scanUsage)
	if err != nil {
		return nil, err
	}
	usages := all[:0]
	for _, u := range all {
		if !configured.InForce(&u) {
			continue // An account of an earlier configuration.
		}
		err := q.QueryRow(ctx, countUsage, u.Account, u.Limits.Window.Seconds()).Scan(&u.Unanswered, &u.Recent, &u.InFlight)
		if err != nil {
			return nil, err
		}
		usages = append(usages, u)
	}
	return usages, nil
}

// scanUsage reads an account. Its limits are the operator's, 0 where there are none.
func scanUsage(row pgx.CollectableRow) (lifecycle.Usage, error) {
	var u lifecycle.Usage
	var until *time.Time
	var window float64 // Seconds.
	err := row.Scan(&u.Account, &u.Paused, &u.PauseReason, &until, &u.Probing, &u.Blocked, &u.Held,
		&u.Limits.Submissions, &window, &u.Limits.InFlight)
	u.Limits.Window = time.Duration(window * float64(time.Second))
	if until != nil {
		u.PausedUntil = *until
	}
	return u, err
}
