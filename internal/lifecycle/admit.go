package lifecycle

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/task"
)

// Admit lets queued tasks of a provider go where the policy says, and returns how many tasks changed.
func (l *Lifecycle) Admit(ctx context.Context, providerName string, policy admission.Policy) (int, error) {
	changed, err := l.store.AdmitTasks(ctx, admission.Round{
		Policy: policy, Provider: providerName, Limits: l.limits(providerName),
		Admit: func(t task.Task, account string) (task.Decision, error) {
			return t.Apply(task.Admitted{Attempt: task.AttemptID(l.ids.next()), Account: account})
		},
		MoveOn: func(t task.Task) (task.Decision, error) { return t.Apply(task.ProviderBlocked{Known: l.known}) },
	})
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
