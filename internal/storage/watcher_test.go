package storage_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a storage that fails as a test wants, and what a watcher says of it.
type world struct {
	*storage.Watcher

	mu      sync.Mutex
	err     error
	hang    chan struct{} // Makes probes hang until it is closed, whatever their context.
	sizes   []int64
	changes []string
	records []string
	stop    func()
}

// watch starts a watcher in a bubble, which ends with the test function.
func watch(t *testing.T, err error) *world {
	t.Helper()
	w := &world{err: err}
	w.Watcher = storage.NewWatcher(storage.Config{Records: w, Replica: "r1", Changed: w.changed})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.Run(ctx, w.probe); err != nil {
			t.Errorf("Run = %v", err)
		}
	}()
	w.stop = func() { cancel(); <-ended }
	return w
}

func (w *world) probe(_ context.Context, size int64) error {
	w.mu.Lock()
	w.sizes = append(w.sizes, size)
	hang, err := w.hang, w.err
	w.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return err
}

func (w *world) changed(c storage.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, fmt.Sprintf("%t %s %d", c.Working, c.Cause, c.Failures))
}

func (w *world) RecordStorage(_ context.Context, replica, cause string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, replica+":"+cause)
	return nil
}

func (w *world) ForgetStorage(ctx context.Context, replica string) error {
	return w.RecordStorage(ctx, replica, "forgotten")
}

// fail makes probes fail from now on, or succeed with nil.
func (w *world) fail(err error, hang chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err, w.hang = err, hang
}

func (w *world) compare(t *testing.T, what string, got *[]string, want ...string) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (w *world) probes() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sizes)
}

var errFull = fmt.Errorf("write: %w", syscall.ENOSPC)

func TestWatcher_TellsEachChangeOnceAndRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, nil)
		if working, known := w.Probed(); w.Working() || working && known {
			t.Error("a storage that was never probed is said to work")
		}
		w.compare(t, "changes", &w.changes, "true  0")
		if !w.Working() {
			t.Error("a storage whose probe succeeded does not work")
		}
		w.fail(errFull, nil)
		<-time.After(time.Minute)
		w.compare(t, "changes", &w.changes, "true  0", "false is full 0")
		if working, known := w.Probed(); w.Working() || working || !known {
			t.Error("a storage whose probe fails works")
		}
		w.fail(syscall.EROFS, nil)
		<-time.After(time.Minute)
		w.compare(t, "changes", &w.changes, "true  0", "false is full 0", "false is read-only 0")
		failures := w.probes()
		w.fail(nil, nil)
		<-time.After(10 * time.Second)
		if !w.Working() {
			t.Error("the storage recovered, and ten seconds later does not work")
		}
		if len(w.changes) != 4 || failures < 10 {
			t.Errorf("after %d probes the changes are %q, want four", failures, w.changes)
		}
		w.stop()
		if last := w.records[len(w.records)-1]; last != "r1:forgotten" {
			t.Errorf("the last record is %q", last)
		}
	})
}

func TestWatcher_ProbesRarelyWhileAllIsWell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, nil)
		<-time.After(10 * time.Minute)
		if n := w.probes(); n < 15 || n > 26 {
			t.Errorf("%d probes in ten minutes, want about twenty", n)
		}
		w.stop()
	})
}

// TestWatcher_AProbeThatHangsFails has a folder on a dead mount, whose calls nothing can end.
func TestWatcher_AProbeThatHangsFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, nil)
		w.compare(t, "changes", &w.changes, "true  0")
		hang := make(chan struct{})
		w.fail(nil, hang)
		<-time.After(5 * time.Minute)
		w.compare(t, "changes", &w.changes, "true  0", "false does not answer 0")
		if n := w.probes(); n != 2 {
			t.Errorf("%d probes were begun, want the second alone to hang", n)
		}
		w.fail(nil, nil)
		close(hang)
		<-time.After(30 * time.Second)
		if !w.Working() {
			t.Error("the mount is back, and the storage does not work")
		}
		hang = make(chan struct{})
		w.fail(nil, hang)
		w.Failed(0)
		<-time.After(time.Minute)
		w.stop() // It does not wait for the probe that hangs.
		close(hang)
	})
}

// TestWatcher_AReportedFailureCountsUntilAProbeSucceeds reports a save that failed: with a file so large that the usual probe
// would not meet what it met.
func TestWatcher_AReportedFailureCountsUntilAProbeSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, nil)
		w.compare(t, "changes", &w.changes, "true  0")
		<-time.After(2 * time.Second)
		before := w.probes()
		hang := make(chan struct{})
		w.fail(nil, hang)
		w.Failed(10 << 20)
		if w.Working() {
			t.Error("the storage works though a save has just failed")
		}
		if n := w.probes(); n != before+1 || w.sizes[before] != 10<<20 {
			t.Fatalf("probes have the sizes %v, want one more of 10 MiB at once", w.sizes)
		}
		if working, _ := w.Probed(); !working {
			t.Error("the replica is not ready though no probe has failed")
		}
		w.Failed(1 << 40)
		w.fail(nil, nil)
		close(hang)
		synctest.Wait()
		if w.Working() {
			t.Error("a probe that began before a failure was reported counts for it")
		}
		<-time.After(time.Second)
		if n := w.probes(); n != before+2 || w.sizes[before+1] != 256<<20 || !w.Working() {
			t.Errorf("probes have the sizes %v, working %t; want a last one of 256 MiB, and that it works", w.sizes, w.Working())
		}
		for range 100 {
			w.ProbeNow()
			<-time.After(20 * time.Millisecond)
			if !w.Working() {
				t.Fatal("a look that finds nothing says that the storage fails")
			}
		}
		if n := w.probes(); n > before+5 {
			t.Errorf("%d probes in two seconds of looks, want one a second", n-before-2)
		}
		w.compare(t, "changes", &w.changes, "true  0")
		w.stop()
	})
}

// TestWatcher_ASlowStorageIsProbedWithLessAndRecovers has a storage that takes the usual probe in time, and the probe that follows
// the failure of a large file never.
func TestWatcher_ASlowStorageIsProbedWithLessAndRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rate = 1 << 20 // Bytes a second.
		w := &world{}
		w.Watcher = storage.NewWatcher(storage.Config{Records: w, Replica: "r1", Changed: w.changed})
		probe := func(ctx context.Context, size int64) error {
			select {
			case <-time.After(time.Duration(size) * time.Second / rate):
				return w.probe(ctx, size)
			case <-ctx.Done():
				return fmt.Errorf("put: %w", ctx.Err())
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx, probe) }()
		<-time.After(time.Second)
		if !w.Working() {
			t.Fatal("a storage whose probe succeeded does not work")
		}
		w.Failed(200 << 20)
		<-time.After(time.Minute)
		if w.Working() {
			t.Error("the storage works before a probe has succeeded")
		}
		<-time.After(10 * time.Minute)
		if !w.Working() {
			t.Error("a slow storage stays out of use after one large file could not be stored")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestWatcher_UnknownFailuresHaveACauseToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, errors.New("odd"))
		w.compare(t, "changes", &w.changes, "false fails 0")
		w.compare(t, "records", &w.records, "r1:fails")
		w.stop()
	})
}
