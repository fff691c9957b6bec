package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/admission"
)

const selectNamedAccounts = `
SELECT ` + usageColumns + `
FROM provider_account
WHERE account = ANY ($1::text[])
ORDER BY account`

// selectAccountState tells about an account what its usage does not.
const selectAccountState = `
SELECT provider,
       (SELECT count(*) FROM attempt WHERE account = $1 AND state = 'UNCONFIRMED'),
       (SELECT count(*)
        FROM (SELECT FROM task WHERE provider = provider_account.provider AND state = 'QUEUED' LIMIT 100000) AS queued),
       coalesce(` + storageCause + `, '')
FROM provider_account
WHERE account = $1`

// ProviderAccounts returns how accounts stand, by name. configured names them, and gives their configured limits.
func (s *Store) ProviderAccounts(ctx context.Context, configured admission.AccountLimits) ([]admission.Account, error) {
	var accounts []admission.Account
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		usages, err := accountUsages(ctx, tx, selectNamedAccounts, slices.Sorted(maps.Keys(configured)), configured)
		if err != nil {
			return err
		}
		for _, u := range usages {
			a := admission.Account{Usage: u, Configured: configured[u.Account]}
			if err := tx.QueryRow(ctx, selectAccountState, u.Account).Scan(&a.Provider, &a.Unknown, &a.Queued, &a.Storage); err != nil {
				return err
			}
			if a.Typical, err = typicalDuration(ctx, tx, u.Account); err != nil {
				return err
			}
			accounts = append(accounts, a)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read how provider accounts stand: %w", err)
	}
	return accounts, nil
}

// updateLimits turns what is 0 into NULL, which means the configured limit.
const updateLimits = `
UPDATE provider_account
SET max_submissions = nullif($2::integer, 0),
    rate_window = nullif(make_interval(secs => $3), interval '0'),
    max_in_flight = nullif($4::integer, 0)
WHERE account = $1`

// LimitAccount sets the limits of an account from the next round of admission on, or returns
// admission.ErrAccountNotFound.
func (s *Store) LimitAccount(ctx context.Context, account string, l admission.OperatorLimits) error {
	return s.changeAccount(ctx, "limit", account, updateLimits, l.Submissions, l.Window.Seconds(), l.InFlight)
}

const holdAccount = `UPDATE provider_account SET hold_reason = $2 WHERE account = $1`

// HoldAccount pauses an account until it is released, or returns admission.ErrAccountNotFound.
func (s *Store) HoldAccount(ctx context.Context, account, reason string) error {
	return s.changeAccount(ctx, "hold", account, holdAccount, reason)
}

const releaseAccount = `
UPDATE provider_account
SET hold_reason = NULL, pauses = 0, pause_reason = '', paused_until_time = NULL, blocked = false,
    trouble_time = NULL, pause_time = NULL, task_probe_time = NULL, tenant_probe_time = NULL
WHERE account = $1`

// ReleaseAccount ends every pause of an account, an operator's and its own, and its probing; or it returns
// admission.ErrAccountNotFound.
func (s *Store) ReleaseAccount(ctx context.Context, account string) error {
	return s.changeAccount(ctx, "release", account, releaseAccount)
}

func (s *Store) changeAccount(ctx context.Context, verb, account, statement string, args ...any) error {
	tag, err := s.pool.Exec(ctx, statement, append([]any{account}, args...)...)
	if err == nil && tag.RowsAffected() == 0 {
		err = admission.ErrAccountNotFound
	}
	if err != nil {
		return fmt.Errorf("%s: %w", verb, &admission.AccountError{Account: account, Err: err})
	}
	return nil
}
