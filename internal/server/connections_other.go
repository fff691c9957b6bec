//go:build !unix

package server

import "math"

// openFiles returns how many files the process may have open, of which this system has no number.
func openFiles() uint64 { return math.MaxUint64 }
