package bench

import (
	"slices"
	"sync"
	"time"
)

// latencies collects durations. Its methods may be called concurrently.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

func (l *latencies) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = nil
}

func (l *latencies) latency() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	return latencyOf(l.all)
}

// latencyOf sorts durations and returns their quantiles.
func latencyOf(d []time.Duration) Latency {
	p50, p99, longest := quantiles(d)
	return Latency{p50, p99, longest}
}

// quantiles sorts durations, and returns their median, 99th percentile and maximum.
func quantiles(d []time.Duration) (p50, p99, longest time.Duration) {
	if len(d) == 0 {
		return 0, 0, 0
	}
	slices.Sort(d)
	return d[len(d)/2], d[len(d)*99/100], d[len(d)-1]
}
