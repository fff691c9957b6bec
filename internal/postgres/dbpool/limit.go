package dbpool

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// timeoutError is the error of a call that a time limit of this package ended.
type timeoutError struct {
	after time.Duration
	err   error
}

func (e *timeoutError) Error() string { return fmt.Sprintf("not done within %v: %v", e.after, e.err) }

func (e *timeoutError) Unwrap() error { return e.err }

// Within calls a function with a context that ends after a time limit. When the limit ends the call, and not the caller's own
// context, it returns an error for which Unavailable reports true.
func Within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return &timeoutError{limit, err}
	}
	return err
}

// Transact runs a transaction within a time limit. It runs the transaction again, at most twice, when the server rolled it back
// in favor of another one.
func Transact(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	return Within(ctx, limit, func(ctx context.Context) (err error) {
		for range 3 {
			if err = do(ctx); !RolledBack(err) {
				return err
			}
		}
		return err
	})
}

// Ping checks that the database answers. The time limit of statements does not cover a ping, so Ping sets one.
func Ping(ctx context.Context, pool *pgxpool.Pool) error {
	return Within(ctx, statementTimeout, pool.Ping)
}
