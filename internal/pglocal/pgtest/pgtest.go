// Package pgtest chooses where tests keep the data of PostgreSQL, and copies it. A cluster has about a thousand files. On a disk, its
// creation and removal take most of the time of tests with a database: CREATE DATABASE takes 0.2 s of system time on ext4,
// and a tenth of that on tmpfs. Production code must not import this package.
package pgtest

import "os"

// minFree is the minimum free space in memory. A new cluster takes 40 MB. A test run has a dozen clusters, or a hundred
// databases of 8 MB in one cluster.
const minFree = 2 << 30

// Dir returns an existing folder for the PostgreSQL clusters of tests, in memory where possible: /dev/shm on Linux when it
// is a tmpfs with at least 2 GiB free, otherwise os.TempDir(). Every user may create folders in it. This matters when root
// runs the tests, because PostgreSQL then runs as another user. NOTE: do not run programs from it, because it may be mounted
// noexec. Tests must remove their files from it, because they take memory.
func Dir() string {
	if usable(memoryDir) {
		return memoryDir
	}
	return os.TempDir()
}
