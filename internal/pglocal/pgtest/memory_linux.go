package pgtest

import (
	"os"
	"syscall"
)

const (
	memoryDir = "/dev/shm"
	// tmpfsMagic is TMPFS_MAGIC of statfs(2).
	tmpfsMagic = 0x01021994
)

// usable reports whether dir is a tmpfs with enough space that every user may write to.
func usable(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o777 {
		return false
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return false
	}
	return int64(fs.Type) == tmpfsMagic && fs.Bavail >= minFree/uint64(fs.Bsize) //nolint:gosec,unconvert // A size of blocks is positive; the types differ by architecture.
}
