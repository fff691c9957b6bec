// Package nettest chooses network addresses for tests.
package nettest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreeAddress returns an address of this machine on which no process listens. Its port is below the ephemeral range, so the system gives
// it to no other socket by itself: a test may close what listens there, and listen again.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const first, last = 10_000, 30_000
	for range 1000 {
		lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first)))
		if err == nil {
			defer lis.Close()
			return lis.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
