// Package pgtest chooses where tests keep the data of PostgreSQL. A cluster consists of about a thousand files, so that on a
// disk its creation and removal are most of the time that tests with a database take: CREATE DATABASE costs 0.2 s of system
// time on ext4 and a tenth of it on tmpfs. Production code must not import this package.
package pgtest

import "os"

// minFree is the space that must be free in memory. A cluster takes 40 MB at first, and a test run keeps a dozen of them or
// a hundred databases of 8 MB in one.
const minFree = 2 << 30

// Dir returns an existing folder for the PostgreSQL clusters of tests, in memory where possible: /dev/shm on Linux when it
// is a tmpfs with at least 2 GiB free, otherwise os.TempDir(). Every user may create folders in it, also the one as whom
// PostgreSQL runs when root runs the tests. NOTE: programs may not run from it, since it may be mounted noexec; and what is
// kept there must be removed, since it takes memory.
func Dir() string {
	if usable(memoryDir) {
		return memoryDir
	}
	return os.TempDir()
}
