package credentials

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/postgres/auditlog"
)

// Sessions has who is signed in to the console, and the links that sign in once.
type Sessions struct{ pool *pgxpool.Pool }

// NewSessions returns the sessions of a database.
func NewSessions(pool *pgxpool.Pool) *Sessions { return &Sessions{pool} }

// liveSessions is how many sessions of an actor can be live at a time.
const liveSessions = 20

// linkLife is for how long a login link can be used.
const linkLife = 10 * time.Minute

// isLive is the condition of a live session. A session that was made from an API token ends with the token.
const isLive = `end_time IS NULL AND expire_time > now()
  AND (token_id IS NULL OR EXISTS (SELECT FROM api_token WHERE api_token.id = token_id AND revoke_time IS NULL))`

// lockActor makes concurrent sign-ins of one actor follow each other, so that the bound holds.
const lockActor = `SELECT pg_advisory_xact_lock(hashtextextended('refract.console_session.' || $1, 0))`

// removeExpired removes a bounded number of rows that are of no use, more than one sign-in adds.
const removeExpired = `
DELETE FROM console_session
WHERE id IN (SELECT id FROM console_session WHERE expire_time < now() ORDER BY expire_time LIMIT 100 FOR UPDATE SKIP LOCKED)`

// endSurplus ends the oldest sessions of an actor, so that there is room for one more.
const endSurplus = `
UPDATE console_session
SET end_time = now()
WHERE id IN (
    SELECT id FROM console_session
    WHERE actor_kind = $1 AND actor_name = $2 AND ` + isLive + `
    ORDER BY create_time DESC, id DESC
    OFFSET $3)`

const insertSession = `
INSERT INTO console_session (id, hash, tenant, operator, actor_kind, actor_name, token_id, expire_time)
VALUES ($1, $2, $3, $4, $5, $6, nullif($7, '')::uuid, now() + $8 * interval '1 second')
RETURNING create_time, expire_time`

// Create stores a new session by the hash of its secret, and returns it with its id and times. Where the actor has as many sessions as
// can be live, the oldest ends.
func (s *Sessions) Create(ctx context.Context, session identity.Session, hash []byte) (identity.Session, error) {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		session, err = create(ctx, tx, session, hash)
		return err
	})
	if err != nil {
		return session, fmt.Errorf("create a session of %s: %w", session.Actor.Name, err)
	}
	return session, nil
}

// create stores a session in a transaction, and records it as a change of who signs in.
func create(ctx context.Context, tx pgx.Tx, session identity.Session, hash []byte) (identity.Session, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return session, fmt.Errorf("make an id: %w", err)
	}
	session.ID = id.String()
	actor := session.Actor
	if _, err := tx.Exec(ctx, lockActor, string(actor.Kind)+actor.Name); err != nil {
		return session, err
	}
	if _, err := tx.Exec(ctx, removeExpired); err != nil {
		return session, err
	}
	if _, err := tx.Exec(ctx, endSurplus, actor.Kind, actor.Name, liveSessions-1); err != nil {
		return session, err
	}
	if err := tx.QueryRow(ctx, insertSession, session.ID, hash, session.Tenant, session.Operator, actor.Kind, actor.Name, session.TokenID,
		identity.SessionLife.Seconds()).Scan(&session.CreateTime, &session.ExpireTime); err != nil {
		return session, err
	}
	return session, auditlog.Record(audit.WithActor(ctx, actor), tx, audit.Change{
		Action: "console_session.create", Target: session.ID, Tenant: session.Tenant, After: valuesOfSession(session),
	})
}

// valuesOfSession returns what the audit log records of a session.
func valuesOfSession(s identity.Session) map[string]any {
	return map[string]any{"tenant": s.Tenant, "operator": s.Operator, "actor": s.Actor.Name}
}

const sessionColumns = `id::text, tenant, operator, actor_kind, actor_name, coalesce(token_id::text, ''), create_time, expire_time`

// sessionFields returns where the columns of a session go.
func sessionFields(s *identity.Session) []any {
	return []any{&s.ID, &s.Tenant, &s.Operator, &s.Actor.Kind, &s.Actor.Name, &s.TokenID, &s.CreateTime, &s.ExpireTime}
}

// scanSession returns the session of a row.
func scanSession(row pgx.CollectableRow) (s identity.Session, err error) {
	err = row.Scan(sessionFields(&s)...)
	s.Actor.Tenant = s.Tenant
	return s, err
}

const selectLiveSessions = `SELECT hash, ` + sessionColumns + ` FROM console_session WHERE hash = ANY($1) AND ` + isLive

// LiveSessions implements identity.SessionStore.
func (s *Sessions) LiveSessions(ctx context.Context, hashes [][]byte, add func(hash []byte, session identity.Session)) error {
	rows, err := s.pool.Query(ctx, selectLiveSessions, hashes)
	if err != nil {
		return fmt.Errorf("read the live sessions: %w", err)
	}
	var hash []byte
	var session identity.Session
	_, err = pgx.ForEachRow(rows, append([]any{&hash}, sessionFields(&session)...), func() error {
		session.Actor.Tenant = session.Tenant
		add(hash, session)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the live sessions: %w", err)
	}
	return nil
}

const endSession = `
UPDATE console_session
SET end_time = now()
WHERE id::text = $1 AND ` + isLive + `
RETURNING ` + sessionColumns

const endSessionByHash = `
UPDATE console_session
SET end_time = now()
WHERE hash = $1 AND ` + isLive + `
RETURNING ` + sessionColumns

// End ends a session, or returns identity.ErrSessionNotFound.
func (s *Sessions) End(ctx context.Context, id string) (identity.Session, error) {
	session, err := s.end(ctx, endSession, id, false)
	if err != nil {
		return session, fmt.Errorf("end session %s: %w", id, err)
	}
	return session, nil
}

// SignOut ends the session whose secret has a hash, as the person who signed in, or returns identity.ErrSessionNotFound.
func (s *Sessions) SignOut(ctx context.Context, hash []byte) error {
	if _, err := s.end(ctx, endSessionByHash, hash, true); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}

// end ends the session that a statement finds, as the actor of ctx or as the person who signed in.
func (s *Sessions) end(ctx context.Context, statement string, which any, own bool) (session identity.Session, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, statement, which)
		if err != nil {
			return err
		}
		if session, err = pgx.CollectExactlyOneRow(rows, scanSession); err != nil {
			return err
		}
		if own {
			ctx = audit.WithActor(ctx, session.Actor)
		}
		return auditlog.Record(ctx, tx, audit.Change{
			Action: "console_session.end", Target: session.ID, Tenant: session.Tenant, Before: valuesOfSession(session),
		})
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = identity.ErrSessionNotFound
	}
	return session, err
}

const selectSessions = `
SELECT ` + sessionColumns + `
FROM console_session
WHERE (create_time, id) < ($1, $2) AND ($3 = '' OR tenant = $3) AND ` + isLive + `
ORDER BY create_time DESC, id DESC
LIMIT $4`

// List returns live sessions, newest first.
func (s *Sessions) List(ctx context.Context, f identity.SessionFilter) ([]identity.Session, error) {
	before := any("infinity")
	if !f.BeforeTime.IsZero() {
		before = f.BeforeTime
	}
	if f.BeforeID == "" {
		f.BeforeID = uuid.Max.String()
	}
	rows, err := s.pool.Query(ctx, selectSessions, before, f.BeforeID, f.Tenant, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	sessions, err := pgx.CollectRows(rows, scanSession)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return sessions, nil
}
