package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/postgres"
)

// TestWithin_OnlyItsOwnTimeMeansTheDatabase ends a wait for a database by the store's own deadline and by the caller.
func TestWithin_OnlyItsOwnTimeMeansTheDatabase(t *testing.T) {
	t.Parallel()
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	err := postgres.Within(t.Context(), time.Nanosecond, wait)
	if !postgres.Unavailable(err) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its own time ended a wait with %v, want a deadline that says the database is out of reach", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := postgres.Within(canceled, time.Hour, wait); !errors.Is(err, context.Canceled) || postgres.Unavailable(err) {
		t.Errorf("the caller ended a wait with %v, want the caller's own error", err)
	}
	errFault := errors.New("a fault")
	if err := postgres.Within(t.Context(), time.Hour, func(context.Context) error { return errFault }); !errors.Is(err, errFault) || postgres.Unavailable(err) {
		t.Errorf("a fault became %v, want it as it is", err)
	}
}
