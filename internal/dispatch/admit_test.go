package dispatch_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/dispatch"
	"github.com/refract-video/refract/internal/loop"
)

// runLoop runs a loop over rounds in a bubble of its own time and returns what wakes it and what it logs.
func runLoop(t *testing.T, round func(context.Context) (int, error)) (loop.Signal, *strings.Builder) {
	t.Helper()
	var logged strings.Builder
	wake := loop.NewSignal()
	l := dispatch.NewAdmissionLoop(round, wake, slog.New(slog.NewTextHandler(&logged, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	synctest.Wait()
	return wake, &logged
}

func TestAdmissionLoop_AdmitsAtOnceOnAWakeAndEverySecondWithout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var rounds atomic.Int32
		wake, _ := runLoop(t, func(context.Context) (int, error) {
			rounds.Add(1)
			return 0, nil
		})
		if n := rounds.Load(); n != 1 {
			t.Errorf("%d rounds at the start, want 1", n)
		}
		wake.Send()
		synctest.Wait()
		if n := rounds.Load(); n != 2 {
			t.Errorf("%d rounds after a wake, want 2", n)
		}
		<-time.After(3500 * time.Millisecond)
		synctest.Wait()
		if n := rounds.Load(); n != 5 {
			t.Errorf("%d rounds after three seconds more, want 5", n)
		}
	})
}

func TestAdmissionLoop_GoesOnWhileThereIsSomethingToAdmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var rounds atomic.Int32
		runLoop(t, func(context.Context) (int, error) {
			if rounds.Add(1) <= 5 {
				return 100, nil
			}
			return 0, nil
		})
		if n := rounds.Load(); n != 6 {
			t.Errorf("%d rounds at once, want 6", n)
		}
	})
}

func TestAdmissionLoop_OutlivesFailuresAndTellsOfThemOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		failing.Store(true)
		_, logged := runLoop(t, func(context.Context) (int, error) {
			if failing.Load() {
				return 0, errors.New("database is gone")
			}
			return 0, nil
		})
		<-time.After(5 * time.Second)
		synctest.Wait()
		failing.Store(false)
		<-time.After(5 * time.Second)
		synctest.Wait()
		if n := strings.Count(logged.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d errors are logged, want 1:\n%s", n, logged)
		}
		if n := strings.Count(logged.String(), "admission works again"); n != 1 {
			t.Errorf("the end of the trouble is logged %d times, want once:\n%s", n, logged)
		}
	})
}
