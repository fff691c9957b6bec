//go:build !linux

package wire

import "syscall"

// boundUnacknowledged does nothing where the kernel has no such bound.
func boundUnacknowledged(string, string, syscall.RawConn) error { return nil }
