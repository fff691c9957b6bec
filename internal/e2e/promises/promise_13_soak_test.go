//go:build soak

package promises_test

import "testing"

// TestSoak_TenThousandTasksMoveOn is TestPromise13_AWithdrawnModelCostsCallersNothing with ten thousand tasks.
func TestSoak_TenThousandTasksMoveOn(t *testing.T) {
	t.Parallel()
	withdrawWhileQueued(t, 10_000)
}
