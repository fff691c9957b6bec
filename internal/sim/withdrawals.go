package sim

import (
	"maps"
	"slices"
	"sync"
)

// Withdrawals are the models that a simulated API has withdrawn. The control of a profile embeds it. The zero value has none. Its
// methods may be called concurrently.
type Withdrawals struct {
	mu     sync.Mutex
	models map[string]bool
}

// Withdraw makes the API refuse submissions of a model. Jobs that it accepted before go on.
func (w *Withdrawals) Withdraw(model string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.models == nil {
		w.models = map[string]bool{}
	}
	w.models[model] = true
}

// Restore ends what Withdraw did.
func (w *Withdrawals) Restore(model string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.models, model)
}

// Withdrawn reports whether a model is withdrawn.
func (w *Withdrawals) Withdrawn(model string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.models[model]
}

// WithdrawnModels returns the withdrawn models, sorted. It is never nil.
func (w *Withdrawals) WithdrawnModels() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, slices.Sorted(maps.Keys(w.models))...)
}
