package bench

import (
	"slices"
	"time"
)

// quantiles returns the median, the 99th percentile and the maximum of durations, which it sorts.
func quantiles(d []time.Duration) (p50, p99, most time.Duration) {
	if len(d) == 0 {
		return 0, 0, 0
	}
	slices.Sort(d)
	return d[len(d)/2], d[len(d)*99/100], d[len(d)-1]
}
