//go:build unix

package server

import (
	"math"
	"syscall"
)

// openFiles returns how many files the process may have open; Go has raised that to what the system allows.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64
	}
	return uint64(limit.Cur) //nolint:unconvert // It is signed on FreeBSD.
}
