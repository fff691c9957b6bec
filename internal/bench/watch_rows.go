package bench

import (
	"fmt"
	"time"
)

// WatchResult is what was measured with many open streams.
type WatchResult struct {
	Streams  int
	Opened   time.Duration // The time in which all streams were opened.
	PeakMiB  float64       // The most memory of the service.
	Notified FanOut        // With notifications.
	Lost     FanOut        // Without: the service finds the events when it reads the log.
	Drained  time.Duration // The time from SIGTERM to the end of the last stream.
	Sweep    time.Duration // How often the service reads the log.
}

// The budgets of many open streams.
const (
	watchMiB    = 2048 // For 100,000 streams.
	fanOutTimes = 8    // An event at its watcher, against its own commit.
	lostTimes   = 2    // An event that the service has to find, against the interval at which it looks.
	drainTimes  = 0.25 // The end of all streams, against their opening: both are bound by the rate of the processors.
)

// Rows returns the rows of the streams.
func (w WatchResult) Rows() []Row {
	name := fmt.Sprintf("%d WatchTask streams: ", w.Streams)
	return []Row{
		AtMost(name+"peak memory of the service", "MiB", w.PeakMiB, watchMiB),
		WithinTimes(name+"event to watcher, p99", "ms", millis(w.Notified.P99), millis(w.Notified.Commit.P99), "commit of these events, p99", fanOutTimes).
			Noting("%.0f events a second, p50 %.1f ms, max %.0f ms", w.Notified.PerSecond, millis(w.Notified.P50), millis(w.Notified.Max)),
		WithinTimes(name+"event to watcher, notification lost, p99", "ms", millis(w.Lost.P99), millis(w.Sweep+w.Lost.Commit.P50), "sweep interval + 1 durable commit", lostTimes).
			Noting("p50 %.0f ms, max %.0f ms", millis(w.Lost.P50), millis(w.Lost.Max)),
		WithinTimes(name+"drain after SIGTERM", "s", w.Drained.Seconds(), w.Opened.Seconds(), "opening them", drainTimes),
	}
}
