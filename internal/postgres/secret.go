package postgres

import (
	"context"
	"fmt"
)

const insertSecret = `INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`

const selectSecret = `SELECT value FROM secret WHERE name = $1`

// Secret returns the key of this name that all replicas share. The first to ask stores its proposal.
func (s *Store) Secret(ctx context.Context, name string, proposal []byte) ([]byte, error) {
	if _, err := s.pool.Exec(ctx, insertSecret, name, proposal); err != nil {
		return nil, fmt.Errorf("store secret %q: %w", name, err)
	}
	var value []byte
	if err := s.pool.QueryRow(ctx, selectSecret, name).Scan(&value); err != nil {
		return nil, fmt.Errorf("read secret %q: %w", name, err)
	}
	return value, nil
}
