package credentials

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Secrets has the keys that the service generated for itself, which all replicas share. A key never changes.
type Secrets struct{ pool *pgxpool.Pool }

// NewSecrets returns the secrets of a database.
func NewSecrets(pool *pgxpool.Pool) *Secrets { return &Secrets{pool} }

const insertSecret = `INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`

const selectSecret = `SELECT value FROM secret WHERE name = $1`

// Secret returns the key of this name that all replicas share. The first call stores its proposal.
func (s *Secrets) Secret(ctx context.Context, name string, proposal []byte) ([]byte, error) {
	if _, err := s.pool.Exec(ctx, insertSecret, name, proposal); err != nil {
		return nil, fmt.Errorf("store secret %q: %w", name, err)
	}
	var value []byte
	if err := s.pool.QueryRow(ctx, selectSecret, name).Scan(&value); err != nil {
		return nil, fmt.Errorf("read secret %q: %w", name, err)
	}
	return value, nil
}

// Known returns the key of this name, and nil where no process has stored one yet.
func (s *Secrets) Known(ctx context.Context, name string) (value []byte, err error) {
	err = s.pool.QueryRow(ctx, selectSecret, name).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read secret %q: %w", name, err)
	}
	return value, nil
}
