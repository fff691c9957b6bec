package lifecycle

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/task"
)

// Admit lets queued tasks of a provider go where the rules of package admission send them, and returns how many tasks changed.
func (l *Lifecycle) Admit(ctx context.Context, providerName string) (int, error) {
	r := admission.Round{Provider: providerName, Limits: l.limits(providerName), Known: l.known, Attempts: make([]task.AttemptID, admission.MaxTasks)}
	for i := range r.Attempts {
		r.Attempts[i] = task.AttemptID(l.ids.next())
	}
	changed, err := l.store.AdmitTasks(ctx, r)
	if err != nil {
		return 0, fmt.Errorf("admit tasks to %s: %w", providerName, err)
	}
	for _, t := range changed {
		l.changed(t.ID, t.State)
	}
	return len(changed), nil
}

// limits are the configured limits of a provider's accounts.
func (l *Lifecycle) limits(providerName string) admission.AccountLimits {
	limits := admission.AccountLimits{}
	for _, account := range l.accounts.At(providerName) {
		limits[account] = l.accounts[account].Capabilities().Limits
	}
	return limits
}
