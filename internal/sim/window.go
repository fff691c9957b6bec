package sim

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Usage is what one API key did to one limit. The peaks are the largest numbers of calls seen in any span as long as
// the window of the limit, measured where they arrived.
type Usage struct {
	Profile      string        `json:"profile"`
	Key          string        `json:"key"`
	Limit        int           `json:"limit"`
	Window       time.Duration `json:"window_ns"`
	Accepted     int           `json:"accepted"`
	Refused      int           `json:"refused"`
	PeakAccepted int           `json:"peak_accepted"`
	PeakArrived  int           `json:"peak_arrived"`
}

// meter is a sliding window per key that also remembers the worst window it saw.
type meter struct {
	profile string
	limit   Limit

	mu   sync.Mutex
	keys map[string]*track
}

// track is the recent past of one key.
type track struct {
	usage    Usage
	accepted []time.Time
	arrived  []time.Time
}

func newMeter(p string, limit Limit) *meter {
	return &meter{profile: p, limit: limit, keys: map[string]*track{}}
}

// take counts a call and returns 0 when the window has room for it, else the time until it will have some. A refused
// call takes no room.
func (m *meter) take(key string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	// NOTE: the clock is read under the lock, so that the calls of a key are in order.
	now := time.Now()
	t := m.keys[key]
	if t == nil {
		t = &track{usage: Usage{Profile: m.profile, Key: key, Limit: m.limit.N, Window: m.limit.Window}}
		m.keys[key] = t
	}
	t.arrived = append(since(t.arrived, now.Add(-m.limit.Window)), now)
	t.usage.PeakArrived = max(t.usage.PeakArrived, len(t.arrived))
	t.accepted = since(t.accepted, now.Add(-m.limit.Window))
	if m.limit.N >= 0 && len(t.accepted) >= m.limit.N {
		t.usage.Refused++
		return t.accepted[0].Add(m.limit.Window).Sub(now)
	}
	t.accepted = append(t.accepted, now)
	t.usage.Accepted++
	t.usage.PeakAccepted = max(t.usage.PeakAccepted, len(t.accepted))
	return 0
}

// since drops the times that are not after start.
func since(times []time.Time, start time.Time) []time.Time {
	keep := slices.IndexFunc(times, func(t time.Time) bool { return t.After(start) })
	if keep < 0 {
		return times[:0]
	}
	return times[keep:]
}

// report returns the usage of every key, in the order of the keys.
func (m *meter) report() []Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Usage, 0, len(m.keys))
	for _, t := range m.keys {
		out = append(out, t.usage)
	}
	slices.SortFunc(out, func(a, b Usage) int { return cmp.Compare(a.Key, b.Key) })
	return out
}
