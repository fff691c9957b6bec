package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/postgres/auditlog"
)

// APITokens has the tokens with which callers authenticate, by their hashes.
type APITokens struct{ pool *pgxpool.Pool }

// NewAPITokens returns the API tokens of a database.
func NewAPITokens(pool *pgxpool.Pool) *APITokens { return &APITokens{pool} }

// liveTokens is how many API tokens of a tenant can be live at a time: two, so that one can replace the
// other without a gap.
const liveTokens = 2

// APIToken is an API token without the token itself.
type APIToken = identity.APIToken

// lockTenant makes concurrent creations for one tenant follow each other, so that the bound holds.
const lockTenant = `SELECT pg_advisory_xact_lock(hashtextextended('refract.api_token.' || $1, 0))`

const countLiveTokens = `SELECT count(*) FROM api_token WHERE tenant = $1 AND revoke_time IS NULL`

const insertToken = `INSERT INTO api_token (id, tenant, hash, operator) VALUES ($1, $2, $3, $4) RETURNING create_time`

// Create stores a new token by its hash, and returns it with its time of creation. It returns
// identity.ErrTooManyTokens when the tenant has as many as it may.
func (s *APITokens) Create(ctx context.Context, t APIToken, hash []byte) (APIToken, error) {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockTenant, t.Tenant); err != nil {
			return err
		}
		var live int
		if err := tx.QueryRow(ctx, countLiveTokens, t.Tenant).Scan(&live); err != nil {
			return err
		}
		if live >= liveTokens {
			return identity.ErrTooManyTokens
		}
		if err := tx.QueryRow(ctx, insertToken, t.ID, t.Tenant, hash, t.Operator).Scan(&t.CreateTime); err != nil {
			return err
		}
		return auditlog.Record(ctx, tx, audit.Change{Action: "token.create", Target: t.ID, Tenant: t.Tenant, After: valuesOf(t)})
	})
	if err != nil {
		return t, fmt.Errorf("create a token for tenant %q: %w", t.Tenant, err)
	}
	return t, nil
}

// Issue makes a token for a tenant, and returns it with its secret, which is stored nowhere. It returns identity.ErrTooManyTokens when the
// tenant has as many as it may.
func (s *APITokens) Issue(ctx context.Context, tenant string, operator bool) (t APIToken, secret string, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return t, "", fmt.Errorf("make the id of a token: %w", err)
	}
	secret, hash := identity.NewAPIToken()
	t, err = s.Create(ctx, APIToken{ID: id.String(), Tenant: tenant, Operator: operator}, hash)
	return t, secret, err
}

const selectTokens = `
SELECT id, tenant, create_time, revoke_time, operator
FROM api_token
WHERE ($1 = '' OR tenant = $1) AND ($2 = '' OR (tenant, create_time, id) > ($2, $3, $4))
ORDER BY tenant, create_time, id
LIMIT NULLIF($5, 0)`

// List returns the tokens that a filter selects, by tenant and time of creation.
func (s *APITokens) List(ctx context.Context, f identity.TokenFilter) ([]APIToken, error) {
	rows, err := s.pool.Query(ctx, selectTokens, f.Tenant, f.After.Tenant, f.After.CreateTime, cmp.Or(f.After.ID, noID), f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	tokens, err := pgx.CollectRows(rows, pgx.RowToStructByPos[APIToken])
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return tokens, nil
}

// noID is an id that no token has.
const noID = "00000000-0000-0000-0000-000000000000"

// valuesOf returns what the audit log records of a token.
func valuesOf(t APIToken) map[string]any {
	return map[string]any{"tenant": t.Tenant, "operator": t.Operator}
}

// revokeToken compares as text, so that what is no UUID is no token either.
const revokeToken = `
UPDATE api_token
SET revoke_time = now()
WHERE id::text = $1 AND revoke_time IS NULL
RETURNING id::text, tenant, create_time, revoke_time, operator`

// Revoke ends a token and returns it. The error is identity.ErrTokenNotFound if no live token has the id.
func (s *APITokens) Revoke(ctx context.Context, id string) (t APIToken, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, revokeToken, id).Scan(&t.ID, &t.Tenant, &t.CreateTime, &t.RevokeTime, &t.Operator); err != nil {
			return err
		}
		return auditlog.Record(ctx, tx, audit.Change{Action: "token.revoke", Target: t.ID, Tenant: t.Tenant, Before: valuesOf(t)})
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = identity.ErrTokenNotFound
	}
	if err != nil {
		return t, fmt.Errorf("revoke token %s: %w", id, err)
	}
	return t, nil
}

const selectLiveTokens = `SELECT hash, id::text, tenant, operator FROM api_token WHERE revoke_time IS NULL`

// LiveTokens implements identity.Tokens.
func (s *APITokens) LiveTokens(ctx context.Context, add func(hash []byte, h identity.Holder)) error {
	rows, err := s.pool.Query(ctx, selectLiveTokens)
	if err != nil {
		return fmt.Errorf("read the live tokens: %w", err)
	}
	var hash []byte
	var h identity.Holder
	_, err = pgx.ForEachRow(rows, []any{&hash, &h.ID, &h.Tenant, &h.Operator}, func() error {
		add(hash, h)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the live tokens: %w", err)
	}
	return nil
}
