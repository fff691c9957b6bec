// Package admission has the rules by which queued tasks go to providers: how many go to which account (Round.Plan), which tasks go
// (Share), which one probes an account that was paused (Probe), and what a task waits for (QueuePosition).
//
// All rules are pure functions. The store reads rows, calls them inside its transaction and writes what they decide. The
// transaction that spends a permit also counts the permits that are taken, so limits hold for all replicas without a leader. A
// round that fails because the database is out of reach admits nothing and is repeated.
package admission

import (
	"fmt"

	"github.com/refract-video/refract/internal/task"
)

// MaxTasks bounds how many tasks one round changes, so that a round stays a short transaction.
const MaxTasks = 100

// Round is one round of admission at a provider.
type Round struct {
	Provider string
	Limits   AccountLimits    // The configured limits of the provider's accounts.
	Known    []string         // The providers that have an account.
	Attempts []task.AttemptID // The ids of the attempts that the round may make, MaxTasks of them.
}

// Admit decides that a task becomes the n-th attempt of the round, counted from 0, at an account.
func (r Round) Admit(t task.Task, n int, account string) (task.Decision, error) {
	if n >= len(r.Attempts) {
		return task.Decision{}, fmt.Errorf("admit task %s: the round has ids for %d attempts", t.ID, len(r.Attempts))
	}
	return t.Apply(task.Admitted{Attempt: r.Attempts[n], Account: account})
}

// MoveOn decides that a task goes to the next provider of its route.
func (r Round) MoveOn(t task.Task) (task.Decision, error) {
	return t.Apply(task.ProviderBlocked{Known: r.Known})
}
