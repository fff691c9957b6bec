package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/admission"
)

// usageColumns are the columns of an account that accountUsages reads, in its order.
const usageColumns = `account, hold_reason IS NOT NULL OR coalesce(paused_until_time > now(), false),
	coalesce(hold_reason, pause_reason), CASE WHEN hold_reason IS NULL THEN paused_until_time END, pauses > 0, blocked, hold_reason IS NOT NULL,
	CASE WHEN hold_reason IS NOT NULL THEN 3
	     WHEN coalesce(paused_until_time <= now(), true) THEN 0
	     WHEN task_probe_time <= now() THEN 1
	     WHEN tenant_probe_time <= now() THEN 2
	     ELSE 3 END,
	coalesce(max_submissions, 0), coalesce(extract(epoch FROM rate_window), 0)::float8, coalesce(max_in_flight, 0)`

const selectAccounts = `
SELECT ` + usageColumns + `
FROM provider_account
WHERE provider = $1
ORDER BY account`

// accountUsages reads the configured accounts that a statement selects, and counts the permits that are taken. configured has the
// limits that are in force when no operator has set any.
func accountUsages(ctx context.Context, tx pgx.Tx, statement string, which any, configured admission.AccountLimits) ([]admission.Usage, error) {
	return accountUsagesAfter(ctx, tx, &pgx.Batch{}, statement, which, configured)
}

// accountUsagesAfter is accountUsages, with the statement at the end of a batch.
func accountUsagesAfter(
	ctx context.Context, tx pgx.Tx, batch *pgx.Batch, statement string, which any, configured admission.AccountLimits,
) (usages []admission.Usage, err error) {
	batch.Queue(statement, which).Query(func(rows pgx.Rows) (err error) {
		usages, err = pgx.CollectRows(rows, scanUsage)
		return err
	})
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	known := usages[:0]
	for _, u := range usages {
		if configured.InForce(&u) { // Otherwise it is of an earlier configuration.
			known = append(known, u)
		}
	}
	if len(known) == 0 {
		return nil, nil
	}
	var counts pgx.Batch
	for i := range known {
		u := &known[i]
		counts.Queue(countUsage, u.Account, u.Limits.Window.Seconds()).QueryRow(func(row pgx.Row) error {
			return row.Scan(&u.Unanswered, &u.Recent, &u.InFlight)
		})
	}
	return known, tx.SendBatch(ctx, &counts).Close()
}

// scanUsage reads an account. Its limits are the operator's, or 0 if none are set.
func scanUsage(row pgx.CollectableRow) (admission.Usage, error) {
	var u admission.Usage
	var until *time.Time
	var window float64 // Seconds.
	err := row.Scan(&u.Account, &u.Paused, &u.PauseReason, &until, &u.Probing, &u.Blocked, &u.Held, &u.Probers,
		&u.Limits.Submissions, &window, &u.Limits.InFlight)
	u.Limits.Window = time.Duration(window * float64(time.Second))
	if until != nil {
		u.PausedUntil = *until
	}
	return u, err
}
