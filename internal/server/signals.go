package server

import (
	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// signals wake the loops of this replica, or, where it is no worker, those of all workers.
type signals struct {
	admissions map[string]loop.Signal // By provider.
	checks     map[string]loop.Signal // By account.
	announce   func(replica.Topic)    // Nil in a worker.
}

// newSignals returns a signal for the admission loop of each provider, and for the checks of each account.
func newSignals(f Config, db *database, providers []string, accounts provider.Accounts) signals {
	s := signals{admissions: map[string]loop.Signal{}, checks: map[string]loop.Signal{}}
	if !f.has(roleWorker) {
		s.announce = db.notifier.Announce
	}
	for _, name := range providers {
		s.admissions[name] = loop.NewSignal()
	}
	for account := range accounts {
		s.checks[account] = loop.NewSignal()
	}
	return s
}

// admit wakes the admission loops: there may be something to admit. It does not block.
func (s signals) admit() {
	if s.announce != nil {
		s.announce(replica.Admission)
		return
	}
	for _, signal := range s.admissions {
		signal.Send()
	}
}

// changed returns the function that is called after each change of a task. It does not block.
func (s signals) changed(hub *watch.Hub, notifier *replica.Notifier) func(task.ID, task.State) {
	return func(id task.ID, state task.State) {
		hub.Wake(id)
		notifier.Add(id)
		if state != task.Running {
			s.admit() // The task waits for a permit, or has released one.
			return
		}
		s.check() // A callback may have made its check due.
	}
}

// check wakes the loops of checks: one may be due. It does not block.
func (s signals) check() {
	if s.announce != nil {
		s.announce(replica.Checks)
		return
	}
	for _, signal := range s.checks {
		signal.Send()
	}
}

// topics are what replicas that are no workers announce to this one.
func (s signals) topics(db *database) map[replica.Topic]func() {
	return map[replica.Topic]func(){replica.Admission: s.admit, replica.Checks: s.check, replica.Webhooks: db.webhooks.Send}
}
