//go:build soak

package e2e_test

import (
	"testing"
	"time"
)

// TestSoak_ATakeoverKeepsTheLimitInRealTime is TestPromise09_ATakeoverKeepsTheLimit with the limit of a provider, a
// network that delays for nearly as long as a request lasts, and a second process that finds out by itself that the first
// is gone.
func TestSoak_ATakeoverKeepsTheLimitInRealTime(t *testing.T) {
	t.Parallel()
	takeOver(t, takeover{limit: 18, window: 10 * time.Second, delay: 26 * time.Second, outage: outages["cut"]})
}
