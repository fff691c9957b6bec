package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// violation turns the violation of a constraint or a unique index into the caller's error.
func violation(err error, constraint string, as error) error {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.ConstraintName == constraint {
		return as
	}
	return err
}
