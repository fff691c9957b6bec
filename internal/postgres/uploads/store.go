package uploads

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// Store has uploads, the sources that they become, and what is known of other sources. It implements source.Store.
type Store struct{ pool *pgxpool.Pool }

// New returns the uploads and sources of a database.
func New(pool *pgxpool.Pool) *Store { return &Store{pool} }

// sourceColumns are the columns that scanSource reads, in its order.
const sourceColumns = `source.id, source.tenant, source.sha256, source.size_bytes, source.content_type, source.duration_us, source.width,
	source.height, source.flaw, source.key, source.create_time`

func scanSource(row pgx.CollectableRow) (task.Source, error) {
	var s task.Source
	var micros int64
	err := row.Scan(&s.ID, &s.Tenant, &s.SHA256, &s.SizeBytes, &s.ContentType, &micros, &s.Width, &s.Height, &s.Flaw, &s.Key, &s.CreateTime)
	s.Duration = time.Duration(micros) * time.Microsecond
	return s, err
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// oneSource returns the source that a statement finds, or source.ErrNotFound.
func oneSource(ctx context.Context, q querier, sql string, args ...any) (task.Source, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return task.Source{}, err
	}
	found, err := pgx.CollectExactlyOneRow(rows, scanSource)
	if errors.Is(err, pgx.ErrNoRows) {
		err = source.ErrNotFound
	}
	return found, err
}

const useSourceByHash = `
UPDATE source SET last_use_time = now()
WHERE tenant = $1 AND sha256 = $2 AND state = 'READY'
RETURNING ` + sourceColumns

// SourceByHash implements source.Store.
func (s *Store) SourceByHash(ctx context.Context, tenant string, sha256 []byte) (task.Source, error) {
	return oneSource(ctx, s.pool, useSourceByHash, tenant, sha256)
}

const useTenantSource = `
UPDATE source SET last_use_time = now()
WHERE tenant = $1 AND id = $2 AND state = 'READY'
RETURNING ` + sourceColumns

// TenantSource implements source.Store. The source is in use with it, and kept for a while.
func (s *Store) TenantSource(ctx context.Context, tenant string, id task.SourceID) (task.Source, error) {
	return oneSource(ctx, s.pool, useTenantSource, tenant, id)
}

// UseSource implements lifecycle.Sources.
func (s *Store) UseSource(ctx context.Context, tenant string, id task.SourceID) error {
	_, err := s.TenantSource(ctx, tenant, id)
	return err
}

const useSource = `UPDATE source SET last_use_time = now() WHERE id = $1 AND state = 'READY' RETURNING ` + sourceColumns

// Source returns a source of any tenant, or source.ErrNotFound, and records that it is in use.
func (s *Store) Source(ctx context.Context, id task.SourceID) (task.Source, error) {
	found, err := oneSource(ctx, s.pool, useSource, id)
	if err != nil {
		return found, fmt.Errorf("read source %s: %w", id, err)
	}
	return found, nil
}

const selectTaskSource = `
SELECT ` + sourceColumns + `
FROM task
JOIN source ON source.id = task.source_id AND source.tenant = task.tenant
WHERE task.id = $1 AND source.state = 'READY'`

// TaskSource returns the uploaded source of a task, or source.ErrNotFound. It does not count as a use of the source.
func (s *Store) TaskSource(ctx context.Context, id task.ID) (task.Source, error) {
	found, err := oneSource(ctx, s.pool, selectTaskSource, id)
	if err != nil {
		return found, fmt.Errorf("read the source of task %s: %w", id, err)
	}
	return found, nil
}

const selectSourceCopy = `SELECT uri FROM source_copy WHERE source_id = $1 AND account = $2 AND expire_time > now()`

// SourceCopy returns the URI of the copy of a source that a provider account has; empty when it has none.
func (s *Store) SourceCopy(ctx context.Context, id task.SourceID, account string) (uri string, err error) {
	rows, err := s.pool.Query(ctx, selectSourceCopy, id, account)
	if err != nil {
		return "", fmt.Errorf("look for a copy of source %s: %w", id, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0], nil
}

const upsertSourceCopy = `
INSERT INTO source_copy (source_id, account, uri, expire_time)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
ON CONFLICT ON CONSTRAINT source_copy_pkey DO UPDATE SET uri = EXCLUDED.uri, expire_time = EXCLUDED.expire_time`

// KeepSourceCopy records that a provider account has a copy of a source for a while.
func (s *Store) KeepSourceCopy(ctx context.Context, id task.SourceID, account, uri string, lifetime time.Duration) error {
	if _, err := s.pool.Exec(ctx, upsertSourceCopy, id, account, uri, lifetime.Seconds()); err != nil {
		return fmt.Errorf("note the copy of source %s: %w", id, err)
	}
	return nil
}
