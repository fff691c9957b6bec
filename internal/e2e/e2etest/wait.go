package e2etest

import (
	"testing"
	"time"
)

// Hung bounds every wait of a test. A test that waits longer hangs, on any machine.
const Hung = 15 * time.Minute

// Eventually polls a condition until it holds.
func Eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline, ticker := time.After(Hung), time.NewTicker(50*time.Millisecond)
	defer ticker.Stop()
	for !cond() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}
