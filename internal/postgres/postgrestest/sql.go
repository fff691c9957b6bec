package postgrestest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Hung is how long a test waits for what must happen. Only a test that hangs reaches it.
const Hung = 5 * time.Minute

// Value returns the one value that a query gives.
func Value[T any](t testing.TB, pool *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// Exec runs a statement.
func Exec(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Until waits until a condition is met.
func Until(t testing.TB, met func() bool) {
	t.Helper()
	for began := time.Now(); !met(); {
		if time.Since(began) > Hung {
			t.Fatal("the condition was never met")
		}
		select {
		case <-t.Context().Done():
		case <-time.After(Pause(began)):
		}
	}
}

// Pause returns how long to wait before one looks again for what one has waited for since a time. A look takes processor time from what
// is waited for, so the pause grows with the wait, from 5 ms to a quarter of a second.
func Pause(began time.Time) time.Duration {
	return min(max(time.Since(began)/10, 5*time.Millisecond), 250*time.Millisecond)
}

// AtOnce runs n calls at the same time and returns their errors that are not nil.
func AtOnce(ctx context.Context, n int, call func(ctx context.Context, i int) error) []error {
	start := make(chan struct{})
	results := make(chan error, n)
	for i := range n {
		go func() {
			<-start
			results <- call(ctx, i)
		}()
	}
	close(start)
	var errs []error
	for range n {
		if err := <-results; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Background runs a function until stop is called or the test ends, and waits for it.
func Background(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Inherit gives the new sessions of a database defaults, "setting = value" each.
func Inherit(t testing.TB, databaseURL string, defaults ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for _, d := range defaults {
		if _, err := conn.Exec(t.Context(), "ALTER DATABASE "+pgx.Identifier{conn.Config().Database}.Sanitize()+" SET "+d); err != nil {
			t.Fatalf("%s: %v", d, err)
		}
	}
}
