// Package admission has the rules by which queued tasks go to providers: how many go to which account (Round.Plan), which tasks go
// (Share), which one probes an account that was paused (Probe), and what a task waits for (QueuePosition).
//
// All rules are pure functions. The store reads rows, calls them inside its transaction and writes what they decide. The
// transaction that spends a permit also counts the permits that are taken, so limits hold for all replicas without a leader. A
// round that fails because the database is out of reach admits nothing and is repeated.
package admission

import (
	"slices"

	"github.com/refract-video/refract/internal/task"
)

// MaxTasks bounds how many tasks one round changes, so that a round stays a short transaction.
const MaxTasks = 100

// Round is one round of admission at a provider.
type Round struct {
	Provider string
	Limits   AccountLimits    // The configured limits of the provider's accounts.
	Known    []string         // The providers that have an account.
	Sold     []Offering       // The offerings of the provider.
	Closed   []Offering       // Those of them that are closed.
	Probes   []Offering       // Those of the closed ones that one task each may probe.
	Capped   []CappedOffering // Those that have a limit of their own.
}

// Close adds the offerings of models to the closed ones.
func (r *Round) Close(models []string) {
	r.Closed = slices.Clone(r.Closed)
	for _, o := range r.Sold {
		closed := slices.ContainsFunc(r.Closed, func(c Offering) bool { return c.Model == o.Model })
		if !closed && slices.Contains(models, o.Model) {
			r.Closed = append(r.Closed, o)
		}
	}
}

// ClosedNames returns the names by which tasks ask for closed offerings.
func (r Round) ClosedNames() []string {
	names := []string{} // Not nil, which is NULL in SQL.
	for _, o := range r.Closed {
		names = append(names, o.Names...)
	}
	return names
}

// Admit decides that a task gets its next attempt, at an account.
func (r Round) Admit(t task.Task, account string) (task.Decision, error) {
	return t.Apply(task.Admitted{Attempt: task.NewAttemptID(t.ID, len(t.Attempts)+1), Account: account})
}

// LeaveClosed decides that a task, whose offering is closed, goes to the next provider of its route, if there is one.
func (r Round) LeaveClosed(t task.Task) (task.Decision, error) {
	return t.Apply(task.ProviderBlocked{Known: r.Known, Message: r.Provider + " does not sell the model now"})
}

// MoveOn decides that a task goes to the next provider of its route.
func (r Round) MoveOn(t task.Task) (task.Decision, error) {
	return t.Apply(task.ProviderBlocked{Known: r.Known})
}
