package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/postgres/auditlog"
	"github.com/refract-video/refract/internal/postgres/dbpool"
)

// Accounts has the provider accounts: what operators set for them, how they stand, and the queries that they get. Tasks pauses and
// resumes them, with the changes that give the reason. A method that fails has changed nothing, unless the answer to its commit was
// lost; a reservation of queries then delays the next ones.
type Accounts struct{ pool *pgxpool.Pool }

// insertAccount leaves a row alone that is as it should be. ON CONFLICT locks it even where it changes nothing, and would
// wait for a replica that was stopped in a round of admission, for longer than a statement may take.
const insertAccount = `
INSERT INTO provider_account (account, provider)
SELECT $1, $2
WHERE NOT EXISTS (SELECT FROM provider_account WHERE account = $1 AND provider = $2)
ON CONFLICT ON CONSTRAINT provider_account_pkey DO UPDATE SET provider = excluded.provider
WHERE provider_account.provider <> excluded.provider`

// PrepareAccounts inserts the rows that admission locks. accounts has the provider of each account.
func (s *Accounts) PrepareAccounts(ctx context.Context, accounts map[string]string) error {
	for account, provider := range accounts {
		if _, err := s.pool.Exec(ctx, insertAccount, account, provider); err != nil {
			return fmt.Errorf("prepare account %s: %w", account, err)
		}
	}
	return nil
}

const selectNamedAccounts = `
SELECT ` + usageColumns + `
FROM provider_account
WHERE account = ANY ($1::text[])
ORDER BY account`

// selectAccountState reads of an account what its usage does not have.
const selectAccountState = `
SELECT provider,
       (SELECT count(*) FROM attempt WHERE account = $1 AND state = 'UNCONFIRMED'),
       (SELECT count(*)
        FROM (SELECT FROM task WHERE provider = provider_account.provider AND state = 'QUEUED' LIMIT 100000) AS queued),
       coalesce(` + storageCause + `, '')
FROM provider_account
WHERE account = $1`

// ProviderAccounts returns how accounts stand, by name. configured names them, and gives their configured limits.
func (s *Accounts) ProviderAccounts(ctx context.Context, configured admission.AccountLimits) ([]admission.Account, error) {
	var accounts []admission.Account
	err := snapshot(ctx, s.pool, func(tx pgx.Tx) error {
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
func (s *Accounts) LimitAccount(ctx context.Context, account string, l admission.OperatorLimits) error {
	return s.changeAccount(ctx, "limit", account, updateLimits, l.Submissions, l.Window.Seconds(), l.InFlight)
}

const holdAccount = `UPDATE provider_account SET hold_reason = $2 WHERE account = $1`

// HoldAccount pauses an account until it is released, or returns admission.ErrAccountNotFound.
func (s *Accounts) HoldAccount(ctx context.Context, account, reason string) error {
	return s.changeAccount(ctx, "pause", account, holdAccount, reason)
}

const releaseAccount = `
UPDATE provider_account
SET hold_reason = NULL, pauses = 0, pause_reason = '', paused_until_time = NULL, blocked = false,
    trouble_time = NULL, pause_time = NULL, task_probe_time = NULL, tenant_probe_time = NULL
WHERE account = $1`

// ReleaseAccount ends every pause of an account, an operator's and its own, and its probing; or it returns
// admission.ErrAccountNotFound.
func (s *Accounts) ReleaseAccount(ctx context.Context, account string) error {
	return s.changeAccount(ctx, "resume", account, releaseAccount)
}

// selectAccountValues reads what the audit log records of an account: what operators can change.
const selectAccountValues = `
SELECT jsonb_strip_nulls(jsonb_build_object(
    'hold_reason', hold_reason, 'blocked', nullif(blocked, false), 'paused_until_time', paused_until_time, 'pause_reason', nullif(pause_reason, ''),
    'max_submissions', max_submissions, 'rate_window_seconds', extract(epoch FROM rate_window)::float8, 'max_in_flight', max_in_flight))
FROM provider_account
WHERE account = $1
FOR UPDATE`

// changeAccount changes an account by a verb, which the audit log has as provider.VERB.
func (s *Accounts) changeAccount(ctx context.Context, verb, account, statement string, args ...any) error {
	c := audit.Change{Action: "provider." + verb, Target: account}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		return auditlog.Row(ctx, tx, c, selectAccountValues, func() error {
			tag, err := tx.Exec(ctx, statement, append([]any{account}, args...)...)
			if err == nil && tag.RowsAffected() == 0 {
				err = admission.ErrAccountNotFound
			}
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", verb, &admission.AccountError{Account: account, Err: err})
	}
	return nil
}

const selectSigner = `SELECT callback_signer FROM provider_account WHERE account = $1`

// CallbackSigner implements lifecycle.Signers.
func (s *Accounts) CallbackSigner(ctx context.Context, account string) (signer string, err error) {
	err = s.pool.QueryRow(ctx, selectSigner, account).Scan(&signer)
	return signer, dbpool.NotFound(err, admission.ErrAccountNotFound)
}

// pinSigner leaves another signer as it is. It reads the row after the lock, and so returns the signer of the transaction that came
// first.
const pinSigner = `
UPDATE provider_account
SET callback_signer = coalesce(nullif(callback_signer, ''), $2)
WHERE account = $1
RETURNING callback_signer`

// PinCallbackSigner implements lifecycle.Signers.
func (s *Accounts) PinCallbackSigner(ctx context.Context, account, signer string) (pinned string, err error) {
	err = s.pool.QueryRow(ctx, pinSigner, account, signer).Scan(&pinned)
	return pinned, dbpool.NotFound(err, admission.ErrAccountNotFound)
}

const selectProviders = `SELECT DISTINCT provider FROM provider_account ORDER BY provider`

// Providers returns the providers that have or had an account.
func (s *Accounts) Providers(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, selectProviders)
	if err != nil {
		return nil, fmt.Errorf("read the providers: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Stray counts the open attempts of an account that is not configured: they are not checked, and their
// callbacks are refused.
type Stray struct {
	Account  string
	Attempts int
}

const selectStrays = `
SELECT account, count(*)
FROM attempt
WHERE state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING') AND account <> ALL ($1::text[])
GROUP BY account
ORDER BY account`

// Strays returns the accounts with open attempts that are not among the given ones.
func (s *Accounts) Strays(ctx context.Context, accounts []string) ([]Stray, error) {
	rows, err := s.pool.Query(ctx, selectStrays, accounts)
	if err != nil {
		return nil, fmt.Errorf("look for attempts of accounts that are not configured: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Stray])
}
