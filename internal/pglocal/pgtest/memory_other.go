//go:build !linux

package pgtest

// Other systems have no memory file system that tests can rely on.
const memoryDir = ""

func usable(string) bool { return false }
