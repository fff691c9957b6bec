package dbpool

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// Unavailable reports whether an error means that the database is out of reach, is going down or can't write now, so that
// the same call may succeed later.
//
// NOTE: it goes by the component that an error comes from, never by a type that other components share. Every errno is a
// net.Error, and a broken download ends with io.ErrUnexpectedEOF: a full disk would pass for a lost database.
func Unavailable(err error) bool {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return unavailableClasses[pe.Code[:min(2, len(pe.Code))]] || unavailableCodes[pe.Code] || RolledBack(err)
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

// Locked reports whether a statement waited too long for a lock that another transaction holds.
func Locked(err error) bool { return sqlState(err) == lockNotAvailable }

// Canceled reports whether the server canceled a statement before a limit of Within ended the call. An administrator may have
// canceled it. It may also be the end of a wait for a lock: a test with several transactions that waited for one row got this error
// from PostgreSQL.
//
// NOTE: a statement that the server's statement_timeout ends has the same SQLSTATE. Sessions that serve set it longer than their
// client waits for a statement.
func Canceled(err error) bool {
	_, ours := errors.AsType[*timeoutError](err)
	return !ours && sqlState(err) == queryCanceled
}

// RolledBack reports whether the server rolled a transaction back in favor of another one: of two that can't be serialized, or
// that deadlock, it ends one.
func RolledBack(err error) bool {
	code := sqlState(err)
	return code == "40001" || code == "40P01"
}

// queryCanceled is the SQLSTATE of a statement that was canceled while it ran.
const queryCanceled = "57014"

// lockNotAvailable is the SQLSTATE of a statement that waited longer than lock_timeout.
const lockNotAvailable = "55P03"

// unavailableClasses are the SQLSTATE classes of connections, resources, operator intervention and errors of the system
// below the server.
var unavailableClasses = map[string]bool{"08": true, "53": true, "57": true, "58": true}

// unavailableCodes are single SQLSTATEs of other classes: a row that another transaction holds, a server that takes no writes,
// and a transaction that the server ended because it took too long, for example after a replica was stopped for a while.
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
