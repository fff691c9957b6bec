package dbpool

import (
	"errors"

	"github.com/jackc/pgx/v5"
)

// Optional returns nil, which is NULL, for a zero value.
func Optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// NotFound turns the absence of a row into the caller's error.
func NotFound(err, as error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return as
	}
	return err
}
