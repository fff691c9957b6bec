package sim

import (
	"cmp"
	"slices"
	"sync"
)

// Concurrency is how many generations of one API key run at a time.
type Concurrency struct {
	Profile string `json:"profile"`
	Key     string `json:"key"`
	Limit   int    `json:"limit"` // Negative for none.
	Now     int    `json:"now"`
	Peak    int    `json:"peak"`
	Refused int    `json:"refused"`
}

// slots caps the generations that run at a time, per key.
type slots struct {
	profile string
	limit   int

	mu   sync.Mutex
	keys map[string]*Concurrency
}

func newSlots(p string, limit int) *slots {
	return &slots{profile: p, limit: limit, keys: map[string]*Concurrency{}}
}

// take occupies a slot, and reports whether there was one.
func (s *slots) take(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.keys[key]
	if c == nil {
		c = &Concurrency{Profile: s.profile, Key: key, Limit: s.limit}
		s.keys[key] = c
	}
	if s.limit >= 0 && c.Now >= s.limit {
		c.Refused++
		return false
	}
	c.Now++
	c.Peak = max(c.Peak, c.Now)
	return true
}

// release frees a slot that was taken.
func (s *slots) release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key].Now--
}

// report returns the concurrency of every key, in the order of the keys.
func (s *slots) report() []Concurrency {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Concurrency, 0, len(s.keys))
	for _, c := range s.keys {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Concurrency) int { return cmp.Compare(a.Key, b.Key) })
	return out
}
