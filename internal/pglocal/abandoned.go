package pglocal

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// abandonedAfter is the age from which the cluster of a killed process is removed. A living process locks its folder within
// moments, and the server of a killed one needs seconds to end.
const abandonedAfter = time.Hour

// RemoveAbandoned removes the temporary clusters in a folder whose processes were killed, and so could not remove them. A
// process that lives holds the lock of its cluster.
func RemoveAbandoned(tempDir string) error {
	clusters, err := filepath.Glob(filepath.Join(tempDir, TemporaryPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, cluster := range clusters {
		info, err := os.Stat(cluster)
		if err != nil || time.Since(info.ModTime()) < abandonedAfter {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(cluster, lockName), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue // It belongs to another user, or is not what it seems.
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			errs = append(errs, os.RemoveAll(cluster))
		}
		errs = append(errs, unlock(lock))
	}
	return errors.Join(errs...)
}
