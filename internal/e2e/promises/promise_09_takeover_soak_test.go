//go:build soak

package promises_test

import (
	"testing"
	"time"
)

// TestSoak_ATakeoverKeepsTheLimitInRealTime is TestPromise09_ATakeoverKeepsTheLimit with a real provider's limit, a
// network delay of nearly the request timeout, and a second process that detects by itself that the first one is gone.
func TestSoak_ATakeoverKeepsTheLimitInRealTime(t *testing.T) {
	t.Parallel()
	takeOver(t, takeover{limit: 18, window: 10 * time.Second, delay: 26 * time.Second, outage: outages["cut"]})
}
