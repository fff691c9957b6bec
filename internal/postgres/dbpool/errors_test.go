package dbpool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/refract-video/refract/internal/postgres/dbpool"
)

// TestUnavailable_ErrorsOfOtherPartsAreNotTheDatabases has errors of files, of the storage and of downloads, which are of the types
// that a lost connection has, too.
func TestUnavailable_ErrorsOfOtherPartsAreNotTheDatabases(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"a full disk":            &fs.PathError{Op: "write", Path: "/bucket/a", Err: syscall.ENOSPC},
		"a read-only folder":     &fs.PathError{Op: "open", Path: "/bucket/a", Err: syscall.EROFS},
		"a bucket that refuses":  &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"a host without a name":  &net.DNSError{Err: "no such host", Name: "s3.example"},
		"a body that broke off":  io.ErrUnexpectedEOF,
		"a closed connection":    net.ErrClosed,
		"a deadline":             context.DeadlineExceeded,
		"a deadline of a socket": os.ErrDeadlineExceeded,
	} {
		if dbpool.Unavailable(fmt.Errorf("put a: %w", err)) {
			t.Errorf("%s passes for a lost database", name)
		}
	}
}

// TestUnavailable_AConnectionThatBreaks cuts connections off while a statement runs on them.
func TestUnavailable_AConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	h := dig(t)
	pool, err := dbpool.Open(t.Context(), h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.proxy.Stop()
	if _, err := tx.Exec(t.Context(), "SELECT 1"); !dbpool.Unavailable(err) {
		t.Errorf("a cut connection gave %v, want an error that says the database is out of reach", err)
	}
	_ = tx.Rollback(t.Context())
	if _, err := pool.Exec(t.Context(), "SELECT 1"); !dbpool.Unavailable(err) {
		t.Errorf("a refused connection gave %v, want an error that says the database is out of reach", err)
	}
}

// TestWithin_OnlyItsOwnTimeMeansTheDatabase ends a wait for a database by the store's own deadline and by the caller.
func TestWithin_OnlyItsOwnTimeMeansTheDatabase(t *testing.T) {
	t.Parallel()
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	err := dbpool.Within(t.Context(), time.Nanosecond, wait)
	if !dbpool.Unavailable(err) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its own time ended a wait with %v, want a deadline that says the database is out of reach", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := dbpool.Within(canceled, time.Hour, wait); !errors.Is(err, context.Canceled) || dbpool.Unavailable(err) {
		t.Errorf("the caller ended a wait with %v, want the caller's own error", err)
	}
	errFault := errors.New("a fault")
	if err := dbpool.Within(t.Context(), time.Hour, func(context.Context) error { return errFault }); !errors.Is(err, errFault) || dbpool.Unavailable(err) {
		t.Errorf("a fault became %v, want it as it is", err)
	}
}

// TestCanceled_NotByALimitOfThisPackage has the server cancel a statement before, and after, the time limit has passed.
func TestCanceled_NotByALimitOfThisPackage(t *testing.T) {
	t.Parallel()
	canceled := &pgconn.PgError{Code: "57014"}
	if err := dbpool.Within(t.Context(), time.Hour, func(context.Context) error { return canceled }); !dbpool.Canceled(err) {
		t.Errorf("Canceled(%v) = false for a statement that the server canceled by itself", err)
	}
	if err := dbpool.Within(t.Context(), time.Nanosecond, func(ctx context.Context) error {
		<-ctx.Done()
		return canceled
	}); dbpool.Canceled(err) {
		t.Errorf("Canceled(%v) = true after the time limit has passed", err)
	}
}
