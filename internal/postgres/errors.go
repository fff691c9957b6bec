package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// notFound turns the absence of a row into the caller's error.
func notFound(err, as error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return as
	}
	return err
}

// violation turns the violation of a constraint or a unique index into the caller's error.
func violation(err error, constraint string, as error) error {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.ConstraintName == constraint {
		return as
	}
	return err
}

// Unavailable reports whether an error means that the database is out of reach, is going down or can't write now, so that
// the same call may succeed later.
//
// NOTE: it goes by the component that an error comes from, never by a type that others have too. Every errno is a
// net.Error, and a broken download ends with io.ErrUnexpectedEOF: a full disk would pass for a lost database.
func Unavailable(err error) bool {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return unavailableClasses[pe.Code[:min(2, len(pe.Code))]] || unavailableCodes[pe.Code] || rolledBack(err)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*timeoutError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*connError](err); ok {
		return true
	}
	if pgconn.Timeout(err) {
		return true
	}
	if pgconn.SafeToRetry(err) { // Nothing was sent, as on a connection that was found closed.
		return true
	}
	return errors.Is(err, puddle.ErrClosedPool) || errors.Is(err, errReadOnly)
}

// timeoutError is what ended with a deadline of ours.
type timeoutError struct {
	after time.Duration
	err   error
}

func (e *timeoutError) Error() string { return fmt.Sprintf("not done within %v: %v", e.after, e.err) }

func (e *timeoutError) Unwrap() error { return e.err }

// within calls a function with a context that ends after a while. Where that time is over, but not the caller's, the
// error is one that Unavailable knows.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return &timeoutError{limit, err}
	}
	return err
}

// transact runs a transaction within a limit, and again where the server rolled it back for the sake of another one, twice at most.
func transact(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	return within(ctx, limit, func(ctx context.Context) (err error) {
		for range 3 {
			if err = do(ctx); !rolledBack(err) {
				return err
			}
		}
		return err
	})
}

// rolledBack reports whether the server rolled a transaction back for the sake of another one: of two that can't be serialized, or
// that wait for each other, it ends one.
func rolledBack(err error) bool {
	code := sqlState(err)
	return code == "40001" || code == "40P01"
}

// lockNotAvailable is the SQLSTATE of a row that somebody else holds for too long.
const lockNotAvailable = "55P03"

// locked tells whether a statement waited too long for a row that somebody else holds.
func locked(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pe.Code == lockNotAvailable
}

// unavailableClasses are the SQLSTATE classes of connections, resources, operator intervention and of errors of the system
// below the server.
var unavailableClasses = map[string]bool{"08": true, "53": true, "57": true, "58": true}

// unavailableCodes are single SQLSTATEs beside them: a row that somebody else holds, a server that takes no writes, and a
// transaction that the server ended since it took too long, as after a replica was stopped for a while.
var unavailableCodes = map[string]bool{lockNotAvailable: true, readOnlyTransaction: true, "25P03": true, "25P04": true}

// errReadOnly means that a session may not write.
var errReadOnly = errors.New("the session is read-only")

// sqlState returns the SQLSTATE of an error that the server reported; empty for any other.
func sqlState(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code
	}
	return ""
}
