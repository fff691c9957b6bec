//go:build !linux && !darwin

package doctor

import "errors"

// freeBytes returns errors.ErrUnsupported: how much a disk has left is not known here.
func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
