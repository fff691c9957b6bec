package admission

import (
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Census is how many tasks have not ended, what they wait for, and what the accounts have, over all replicas.
type Census struct {
	Groups   []TaskGroup
	Accounts []Account
	Storage  string // Why no replica can store results; empty if one can.
	Closed   bool   // Whether admission is closed for all providers.
}

// TaskGroup is the tasks of one provider in one state that wait for the same.
type TaskGroup struct {
	Provider string
	State    task.State
	Cause    task.WaitCause // What QUEUED tasks wait for by themselves; empty if only for their turn.
	Tasks    int64
	Oldest   time.Duration // The time since the newest event of the task for which it is the longest ago.
}

// Waiting returns what the tasks of a QUEUED group wait for. Those that wait for their turn wait for what keeps the first of them: the
// causes of single tasks, such as the share of a tenant, are not in a census.
func (c Census) Waiting(g TaskGroup) task.WaitCause {
	if c.Closed {
		return task.WaitAdmissionClosed
	}
	if g.Cause != "" && c.Storage == "" {
		return g.Cause
	}
	p := QueuePosition{Storage: c.Storage}
	for _, a := range c.Accounts {
		if a.Provider == g.Provider {
			p.Usages = append(p.Usages, a.Usage)
		}
	}
	return p.Waiting(g.Provider).Cause
}
