package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Usage is how much of an account's limits is taken, over all replicas.
type Usage struct {
	Account    string
	Limits     provider.Limits
	Unanswered int  // Attempts whose submission is under way.
	Recent     int  // Attempts whose submission was answered within the last window.
	InFlight   int  // Attempts that the provider works on, or may.
	Paused     bool // Whether the account is paused now.
	Probing    bool // Whether the account was paused and has not proved to work since.
	Blocked    bool // Whether the account can't submit at all.
}

// Plan is what one round of admission does with the queue of a provider.
type Plan struct {
	Permits []string // The accounts that the next tasks go to, one a task.
	MoveOn  int      // How many tasks that may do so move on to their next provider.
}

// Round is one round of admission at a provider.
type Round struct {
	Provider string
	Windows  map[string]time.Duration // The rate window of each account.
	Plan     func([]Usage) Plan
	Admit    func(t task.Task, account string) (task.Decision, error)
	MoveOn   func(task.Task) (task.Decision, error)
}

// Admit lets queued tasks of a provider go where plan says, and returns how many tasks changed.
func (l *Lifecycle) Admit(ctx context.Context, providerName string, plan func([]Usage) Plan) (int, error) {
	r := Round{
		Provider: providerName,
		Windows:  make(map[string]time.Duration),
		Plan: func(usages []Usage) Plan {
			for i := range usages {
				usages[i].Limits = l.accounts[usages[i].Account].Capabilities().Limits
			}
			return plan(usages)
		},
		Admit: func(t task.Task, account string) (task.Decision, error) {
			return t.Apply(task.Admitted{Attempt: task.AttemptID(newID()), Account: account})
		},
		MoveOn: func(t task.Task) (task.Decision, error) { return t.Apply(task.ProviderBlocked{Known: l.known}) },
	}
	for _, account := range l.accounts.At(providerName) {
		r.Windows[account] = l.accounts[account].Capabilities().Limits.Window
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
