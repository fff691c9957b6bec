package pglocal

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRemoveAbandoned_RemovesOldClustersWithoutAProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cluster := func(name string, age time.Duration) (path string, lock *os.File) {
		t.Helper()
		path = filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		lock, err := os.Create(filepath.Join(path, lockName))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = lock.Close() })
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		return path, lock
	}
	_, _ = cluster(TemporaryPrefix+"old", 2*time.Hour)
	young, _ := cluster(TemporaryPrefix+"young", time.Minute)
	foreign, _ := cluster("postgres-foreign", 2*time.Hour)
	used, lock := cluster(TemporaryPrefix+"used", 2*time.Hour)
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := RemoveAbandoned(dir); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{foreign, used, young}, left); diff != "" {
		t.Errorf("folders that are left (-want +got):\n%s", diff)
	}
}
