//go:build !linux

package e2e_test

import "testing"

// socket is what Linux tells of sockets.
type socket struct {
	local   string
	listens bool
}

func (socket) String() string { return "" }

// openSockets returns none: only Linux tells a process about its sockets.
func openSockets(*testing.T) map[string]socket { return nil }
