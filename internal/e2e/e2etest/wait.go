package e2etest

import (
	"testing"
	"time"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// Hung bounds every wait of a test. A test that waits longer hangs, on any machine.
const Hung = 15 * time.Minute

// Eventually polls a condition until it holds.
func Eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for began := time.Now(); !cond(); <-time.After(postgrestest.Pause(began)) {
		if time.Since(began) > Hung {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}
