package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/postgres/dbpool"
)

// Appender appends callbacks to the intake, which is all that the database role of an ingress may do. Callbacks that come at the same
// time share a commit. It implements callback.Appender.
type Appender struct {
	pool  *pgxpool.Pool
	group *groupcommit.Group[callback.Sealed, struct{}]
	wake  func()
}

// appendLimits bound the memory of what waits: a sealed callback has up to 512 KiB.
var appendLimits = groupcommit.Limits{Set: 64, Waiting: 512, AtOnce: 4}

// NewAppender returns the intake of a database. wake is called after each commit, so that a worker settles what was stored. It must not
// block.
func NewAppender(pool *pgxpool.Pool, wake func()) *Appender {
	a := &Appender{pool: pool, wake: wake}
	a.group = groupcommit.New(a.appendSet, appendLimits)
	return a
}

// Append returns when the callback is committed. It returns callback.ErrBusy for an attempt that has too many callbacks in the intake,
// and groupcommit.ErrFull where too many wait here. Both mean that the callback was not stored.
func (a *Appender) Append(ctx context.Context, c callback.Sealed) error {
	_, err := a.group.Do(ctx, c)
	return err
}

// Close takes no more callbacks and waits for those that are under way, until ctx ends.
func (a *Appender) Close(ctx context.Context) error { return a.group.Close(ctx) }

// appendToIntake needs no privilege but INSERT on the columns that it names.
const appendToIntake = `
INSERT INTO callback_intake (attempt_id, account, sealed)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[])`

func (a *Appender) appendSet(ctx context.Context, set []callback.Sealed, results []groupcommit.Result[struct{}]) error {
	attempts, accounts, sealed := make([]string, len(set)), make([]string, len(set)), make([][]byte, len(set))
	for i, c := range set {
		attempts[i], accounts[i], sealed[i] = string(c.AttemptID), c.Account, c.Sealed
	}
	_, err := a.pool.Exec(ctx, appendToIntake, attempts, accounts, sealed)
	switch {
	case err == nil:
		a.wake()
		return nil
	case full(err):
		err = callback.ErrBusy
	default:
		err = fmt.Errorf("append to the intake: %w", err)
	}
	if !dbpool.Unavailable(err) {
		return err // A part of the set may succeed.
	}
	for i := range results {
		results[i].Err = err
	}
	return nil
}

// full reports whether an attempt has as many callbacks in the intake as it may have.
func full(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pe.ConstraintName == "callback_intake_bound"
}

// selectMayAppend asks for the table, for the privilege to append, and for one that an ingress does not need.
const selectMayAppend = `
SELECT to_regclass('callback_intake') IS NOT NULL,
       coalesce((SELECT has_column_privilege(oid, 'attempt_id', 'INSERT') AND has_column_privilege(oid, 'account', 'INSERT')
           AND has_column_privilege(oid, 'sealed', 'INSERT') FROM pg_class WHERE oid = to_regclass('callback_intake')), false),
       coalesce((SELECT has_table_privilege(oid, 'SELECT') FROM pg_class WHERE oid = to_regclass('task')), false)`

// The errors of Check.
var (
	ErrNoIntake  = errors.New("the database has no table callback_intake: run `refract migrate`, or add the schema of the tables to the database URL as search_path")
	ErrMayNot    = errors.New("the database role may not append to the intake: create it by the SQL of `refract migrate --print-ingress-role`")
	errCantCheck = errors.New("read what the database role may do")
)

// Check is CheckRole for the role of the appender.
func (a *Appender) Check(ctx context.Context) (readsTasks bool, err error) {
	return CheckRole(ctx, a.pool)
}

// CheckRole returns ErrNoIntake or ErrMayNot where the database role can't append callbacks, and reports whether it may read tasks as
// well, which an ingress does not need.
func CheckRole(ctx context.Context, pool *pgxpool.Pool) (readsTasks bool, err error) {
	var exists, may bool
	if err := pool.QueryRow(ctx, selectMayAppend).Scan(&exists, &may, &readsTasks); err != nil {
		return false, fmt.Errorf("%w: %w", errCantCheck, err)
	}
	switch {
	case !exists:
		return false, ErrNoIntake
	case !may:
		return false, ErrMayNot
	}
	return readsTasks, nil
}

// claimFromIntake takes callbacks that are due. A claim expires after half a minute, and after a longer time for each further try, up to
// 16 minutes: a worker that dies delays its callbacks by that, and one that can't be settled is not tried all the time.
const claimFromIntake = `
UPDATE callback_intake
SET tries = tries + 1, next_settle_time = now() + interval '30 s' * power(2, least(tries, 5))
WHERE id = ANY (ARRAY(
    SELECT id
    FROM callback_intake
    WHERE next_settle_time <= now()
    ORDER BY next_settle_time, id
    LIMIT $1
    FOR UPDATE SKIP LOCKED))
RETURNING id, attempt_id, account, sealed, receive_time, tries, now() - receive_time`

// ClaimCallbacks implements callback.IntakeStore.
func (s *Store) ClaimCallbacks(ctx context.Context, limit int) ([]callback.Waiting, error) {
	rows, err := s.pool.Query(ctx, claimFromIntake, limit)
	if err != nil {
		return nil, fmt.Errorf("claim callbacks of the intake: %w", err)
	}
	claimed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w callback.Waiting, err error) {
		err = row.Scan(&w.ID, &w.AttemptID, &w.Account, &w.Sealed.Sealed, &w.ReceiveTime, &w.Tries, &w.Age)
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("claim callbacks of the intake: %w", err)
	}
	return claimed, nil
}

// RemoveFromIntake removes callbacks, as a part of the transaction that settles them.
const RemoveFromIntake = `DELETE FROM callback_intake WHERE id = ANY ($1::bigint[])`

// RemoveCallback implements callback.IntakeStore.
func (s *Store) RemoveCallback(ctx context.Context, id int64) error {
	if _, err := s.pool.Exec(ctx, RemoveFromIntake, []int64{id}); err != nil {
		return fmt.Errorf("remove callback %d of the intake: %w", id, err)
	}
	return nil
}

// selectIntakeDepth counts up to a bound. The oldest row is about the first one of the primary key: ids grow, but for those of
// transactions that overlap.
const selectIntakeDepth = `
SELECT (SELECT count(*) FROM (SELECT FROM callback_intake LIMIT 100000) AS counted),
       coalesce((SELECT now() - receive_time FROM callback_intake ORDER BY id LIMIT 1), interval '0')`

// IntakeDepth implements callback.IntakeStore.
func (s *Store) IntakeDepth(ctx context.Context) (n int64, lag time.Duration, err error) {
	if err = s.pool.QueryRow(ctx, selectIntakeDepth).Scan(&n, &lag); err != nil {
		return 0, 0, fmt.Errorf("count the intake: %w", err)
	}
	return n, lag, nil
}
