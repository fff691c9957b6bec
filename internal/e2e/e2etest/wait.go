package e2etest

import (
	"context"
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

// Until waits for a condition.
func Until(ctx context.Context, t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it never comes that %s", what)
		}
	}
}
