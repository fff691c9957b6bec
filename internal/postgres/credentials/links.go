package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/postgres/auditlog"
)

const removeExpiredLinks = `DELETE FROM console_login_link WHERE expire_time < now()`

const insertLink = `
INSERT INTO console_login_link (hash, tenant, operator, actor_name, expire_time)
VALUES ($1, $2, $3, $4, now() + $5 * interval '1 second')`

// CreateLink makes a login link for a tenant, an operator or both, and returns its code. It signs in once, within ten minutes. The
// audit log names who made it: the actor of ctx.
func (s *Sessions) CreateLink(ctx context.Context, tenant string, operator bool) (code string, err error) {
	actor, _ := audit.ActorOf(ctx)
	code, hash := identity.NewSecret()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, removeExpiredLinks); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertLink, hash, tenant, operator, cmp.Or(actor.Name, "login link"), linkLife.Seconds()); err != nil {
			return err
		}
		return auditlog.Record(ctx, tx, audit.Change{
			Action: "console_link.create", Tenant: tenant, After: map[string]any{"tenant": tenant, "operator": operator},
		})
	})
	if err != nil {
		return "", fmt.Errorf("make a login link for tenant %q: %w", tenant, err)
	}
	return code, nil
}

const selectLink = `SELECT tenant, operator, actor_name FROM console_login_link WHERE hash = $1 AND expire_time > now()`

const deleteLink = `DELETE FROM console_login_link WHERE hash = $1 AND expire_time > now() RETURNING tenant, operator, actor_name`

// Link returns the session that the login link of a hash would make, or identity.ErrLinkNotFound.
func (s *Sessions) Link(ctx context.Context, hash []byte) (identity.Session, error) {
	session, err := link(s.pool.QueryRow(ctx, selectLink, hash))
	if err != nil {
		return session, fmt.Errorf("read a login link: %w", err)
	}
	return session, nil
}

// UseLink removes the login link of a hash and makes a session of it, by the hash of the session's secret. It returns identity.ErrLinkNotFound
// where there is no such link.
func (s *Sessions) UseLink(ctx context.Context, linkHash, hash []byte) (session identity.Session, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if session, err = link(tx.QueryRow(ctx, deleteLink, linkHash)); err != nil {
			return err
		}
		session, err = create(ctx, tx, session, hash)
		return err
	})
	if err != nil {
		return session, fmt.Errorf("use a login link: %w", err)
	}
	return session, nil
}

// link returns the session that the link of a row makes.
func link(row pgx.Row) (identity.Session, error) {
	s := identity.Session{Actor: audit.Actor{Kind: audit.Command}}
	err := row.Scan(&s.Tenant, &s.Operator, &s.Actor.Name)
	if errors.Is(err, pgx.ErrNoRows) {
		err = identity.ErrLinkNotFound
	}
	s.Actor.Tenant = s.Tenant
	return s, err
}
