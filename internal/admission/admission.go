// Package admission decides which queued task goes to a provider next, and when.
//
// Every replica runs a loop, and whichever holds the provider's account admits; the others pass. So limits
// hold for the fleet without anyone being elected: they are counted in the transaction that spends them.
// A round that fails because the database is out of reach admits nothing and is repeated.
package admission

import (
	"github.com/refract-video/refract/internal/task"
)

// Policy decides who goes next. Its functions are pure: see package admission.
type Policy struct {
	// Plan returns how much may go to which account.
	Plan func([]Usage) Plan
	// Share chooses at most so many tasks from lines, in the order in which they go.
	Share func(permits int, lines []Line) []task.ID
	// Probe chooses the task that probes an account, or returns false. A line has the first of its tasks that were not
	// refused, if there is one, and those that were.
	Probe func(account Usage, lines []Line) (task.ID, bool)
}

// Round is one round of admission at a provider.
type Round struct {
	Policy

	Provider string
	Limits   AccountLimits // The configured ones.
	Admit    func(t task.Task, account string) (task.Decision, error)
	MoveOn   func(task.Task) (task.Decision, error)
}
