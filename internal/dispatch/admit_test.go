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

// rounds are the rounds of a provider.
type rounds func(context.Context) (int, error)

func (r rounds) Admit(ctx context.Context, provider string) (int, error) {
	if provider != "kie" {
		return 0, errors.New("another provider")
	}
	return r(ctx)
}

// disk is a storage that may fail.
type disk struct{ failing atomic.Bool }

func (d *disk) Working() bool { return !d.failing.Load() }

// runLoop runs a loop over rounds in a bubble of its own time and returns what wakes it and what it logs.
func runLoop(t *testing.T, round rounds) (loop.Signal, *strings.Builder) {
	t.Helper()
	return runLoopOn(t, &disk{}, round)
}

// runLoopOn runs a loop with a storage.
func runLoopOn(t *testing.T, storage *disk, round rounds) (loop.Signal, *strings.Builder) {
	t.Helper()
	var logged strings.Builder
	wake := loop.NewSignal()
	l := &dispatch.AdmissionLoop{Provider: "kie", Verbs: round, Storage: storage, Wake: wake, Log: slog.New(slog.NewTextHandler(&logged, nil))}
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

func TestAdmissionLoop_OutlivesFailuresAndLogsThemOnce(t *testing.T) {
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

func TestAdmissionLoop_AdmitsNothingWhileResultsCantBeStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var admitted atomic.Int32
		storage := &disk{}
		storage.failing.Store(true)
		wake, _ := runLoopOn(t, storage, func(context.Context) (int, error) {
			admitted.Add(1)
			return 0, nil
		})
		wake.Send()
		<-time.After(time.Minute + 500*time.Millisecond) // Between two ticks.
		synctest.Wait()
		if n := admitted.Load(); n != 0 {
			t.Errorf("%d rounds were held, want none", n)
		}
		storage.failing.Store(false)
		wake.Send()
		synctest.Wait()
		if n := admitted.Load(); n != 1 {
			t.Errorf("%d rounds were held when the storage works again, want one at once", n)
		}
	})
}
