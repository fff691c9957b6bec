package sim

import (
	"context"
	"sync"
)

// runners limits how many generations of a key run at a time. The others wait for their turn.
type runners struct {
	limit int // 0 for none.

	mu   sync.Mutex
	keys map[string]chan struct{}
}

func newRunners(limit int) *runners {
	return &runners{limit: limit, keys: map[string]chan struct{}{}}
}

// of returns the channel of a key, which holds one value for each running generation.
func (r *runners) of(key string) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.keys[key]
	if c == nil {
		c = make(chan struct{}, r.limit)
		r.keys[key] = c
	}
	return c
}

// take waits for a runner. It returns the reason why ctx ended before.
func (r *runners) take(ctx context.Context, key string) error {
	if r.limit <= 0 {
		return ctx.Err()
	}
	select {
	case r.of(key) <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release gives a runner back.
func (r *runners) release(key string) {
	if r.limit > 0 {
		<-r.of(key)
	}
}
