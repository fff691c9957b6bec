// Package auditlog has the table of the audit log.
//
// Rows are only inserted: a trigger refuses UPDATE and TRUNCATE, and DELETE outside of retention. The transaction of a change writes
// its row, so that neither exists without the other.
package auditlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/audit"
)

// Execer is a transaction or a pool.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

const insertEvent = `
INSERT INTO audit_event (actor_kind, actor_name, actor_tenant, action, target, tenant, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8::text::jsonb)`

// Record records a change by the actor of ctx, in the transaction of the change. Without an actor it does nothing.
func Record(ctx context.Context, tx Execer, c audit.Change) error {
	actor, ok := audit.ActorOf(ctx)
	if !ok {
		return nil
	}
	before, err := encode(c.Before)
	if err != nil {
		return fmt.Errorf("record %s of %s: %w", c.Action, c.Target, err)
	}
	after, err := encode(c.After)
	if err != nil {
		return fmt.Errorf("record %s of %s: %w", c.Action, c.Target, err)
	}
	if _, err := tx.Exec(ctx, insertEvent, actor.Kind, actor.Name, actor.Tenant, c.Action, c.Target, c.Tenant, before, after); err != nil {
		return fmt.Errorf("record %s of %s: %w", c.Action, c.Target, err)
	}
	return nil
}

// encode returns values as JSON, and nil for none.
func encode(values any) (*string, error) {
	if values == nil {
		return nil, nil //nolint:nilnil // NULL.
	}
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	if string(text) == "null" {
		return nil, nil //nolint:nilnil // The same.
	}
	return new(string(text)), nil
}

// Row makes a change of a row by a function, and records what a query selects of the row before and after, as one column of JSON. The
// query takes the target, unless it has arguments of its own, and should lock the row.
func Row(ctx context.Context, tx pgx.Tx, c audit.Change, query string, change func() error, args ...any) error {
	if _, ok := audit.ActorOf(ctx); !ok {
		return change()
	}
	if len(args) == 0 {
		args = []any{c.Target}
	}
	var err error
	if c.Before, err = row(ctx, tx, query, args); err != nil {
		return fmt.Errorf("read %s before %s: %w", c.Target, c.Action, err)
	}
	if err := change(); err != nil {
		return err
	}
	if c.After, err = row(ctx, tx, query, args); err != nil {
		return fmt.Errorf("read %s after %s: %w", c.Target, c.Action, err)
	}
	return Record(ctx, tx, c)
}

func row(ctx context.Context, tx pgx.Tx, query string, args []any) (any, error) {
	var values json.RawMessage
	err := tx.QueryRow(ctx, query, args...).Scan(&values)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // There is no row.
	}
	return values, err
}

// Store reads and expires the audit log.
type Store struct{ pool *pgxpool.Pool }

// New returns the audit log of a database.
func New(pool *pgxpool.Pool) *Store { return &Store{pool} }

// Record records an action that changes no row of its own, before it is done.
func (s *Store) Record(ctx context.Context, c audit.Change) error { return Record(ctx, s.pool, c) }

const selectEvents = `
SELECT id, create_time, actor_kind, actor_name, actor_tenant, action, target, tenant, before::text, after::text
FROM audit_event
WHERE (create_time, id) < ($1, $2) AND create_time >= $3 AND create_time < $4
  AND ($5 = '' OR actor_name = $5) AND ($6 = '' OR action = $6 OR starts_with(action, $6 || '.')) AND ($7 = '' OR target = $7)
  AND ($8 = '' OR tenant = $8)
ORDER BY create_time DESC, id DESC
LIMIT $9`

// Events returns the events that a filter selects, newest first.
func (s *Store) Events(ctx context.Context, f audit.Filter) ([]audit.Event, error) {
	rows, err := s.pool.Query(ctx, selectEvents, orInfinity(f.Before.Time, pgtype.Infinity), f.Before.ID, orInfinity(f.FromTime, pgtype.NegativeInfinity),
		orInfinity(f.ToTime, pgtype.Infinity), f.Actor, f.Action, f.Target, f.Tenant, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e audit.Event, err error) {
		var before, after *string
		err = row.Scan(&e.ID, &e.CreateTime, &e.Actor.Kind, &e.Actor.Name, &e.Actor.Tenant, &e.Action, &e.Target, &e.Tenant, &before, &after)
		e.Before, e.After = text(before), text(after)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return events, nil
}

// orInfinity returns a time, or an infinity for the zero one.
func orInfinity(t time.Time, zero pgtype.InfinityModifier) pgtype.Timestamptz {
	if t.IsZero() {
		return pgtype.Timestamptz{InfinityModifier: zero, Valid: true}
	}
	return pgtype.Timestamptz{Time: t, Valid: true}
}

func text(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}
