package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const selectProviders = `SELECT DISTINCT provider FROM provider_account ORDER BY provider`

// Providers returns the providers that have or had an account.
func (s *Store) Providers(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, selectProviders)
	if err != nil {
		return nil, fmt.Errorf("read the providers: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Stray counts the open attempts of an account that is not configured: nobody asks about them, and their
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

// Strays returns the accounts with open attempts beside the given ones.
func (s *Store) Strays(ctx context.Context, accounts []string) ([]Stray, error) {
	rows, err := s.pool.Query(ctx, selectStrays, accounts)
	if err != nil {
		return nil, fmt.Errorf("look for attempts of accounts that are not configured: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Stray])
}
