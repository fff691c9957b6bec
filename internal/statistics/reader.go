package statistics

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Store reads samples.
type Store interface {
	// Sample returns what there is about the tasks of a tenant, or of all for an empty one, that were created in a period before now.
	// All of it is bounded.
	Sample(ctx context.Context, tenant string, period time.Duration) (Sample, error)
}

const (
	// reusedFor is how long figures are given again.
	reusedFor = 3 * time.Second
	// maxReused bounds how many figures are kept.
	maxReused = 100
)

// Reader reads figures. Pages that show them ask again and again, so that it gives the same ones for a few seconds. Its methods may be
// called concurrently.
type Reader struct {
	store Store

	mu    sync.Mutex
	known map[question]answer
}

// question is what figures are about.
type question struct {
	tenant string
	period time.Duration
}

type answer struct {
	Statistics
	read time.Time
}

// NewReader returns a reader of the figures of a store.
func NewReader(store Store) *Reader {
	return &Reader{store: store, known: map[question]answer{}}
}

// Read returns the figures about a period before now of a tenant, or of all tenants for an empty one. They may be some seconds old,
// and callers must not change them.
func (r *Reader) Read(ctx context.Context, tenant string, period time.Duration) (Statistics, error) {
	q := question{tenant, period}
	r.mu.Lock()
	known, ok := r.known[q]
	r.mu.Unlock()
	if ok && time.Since(known.read) < reusedFor {
		return known.Statistics, nil
	}
	sample, err := r.store.Sample(ctx, tenant, period)
	if err != nil {
		return Statistics{}, fmt.Errorf("read statistics: %w", err)
	}
	computed := Of(sample)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxReused {
		clear(r.known)
	}
	r.known[q] = answer{Statistics: computed, read: time.Now()}
	return computed, nil
}
