//go:build !linux

package pgtest

// There is no memory file system that tests can rely on.
const memoryDir = ""

func usable(string) bool { return false }
