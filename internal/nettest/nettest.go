// Package nettest chooses network addresses for tests.
package nettest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// chosen has the ports that this process has chosen.
var chosen sync.Map

// FreeAddress returns an address of this machine on which no process listens. Its port is below the range from which
// systems choose ports by default, so no other socket gets it by chance. A test may close what listens there, and listen again.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const first, last = 10_000, 30_000
	for range 1000 {
		port := first + rand.IntN(last-first)
		if _, again := chosen.LoadOrStore(port, nil); again {
			continue
		}
		lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			defer lis.Close()
			return lis.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
