package admission

import (
	"cmp"

	"github.com/refract-video/refract/internal/task"
)

// Probe chooses the task that finds out whether an account works again: the one that has least to do with the refusals
// that made it pause. Tasks of tenants of which none was refused go first, then tasks that were not refused, then the one
// whose refusal is oldest. So a task that the account always refuses does not probe again while any other task waits. It
// returns false when no task may probe. A queue has its first task that was not refused, if there is one, and those that were.
//
// A pause that rests on few tasks is short for all others: see Probers.
func Probe(account Usage, queues []TenantQueue) (task.ID, bool) {
	var best candidate
	for _, q := range queues {
		if q.Left <= 0 {
			continue
		}
		for _, t := range q.Tasks {
			c := candidate{queue: q, task: t}
			if account.Probers <= c.needs() && (best.task.Task == "" || c.compare(best) < 0) {
				best = c
			}
		}
	}
	return best.task.Task, best.task.Task != ""
}

// candidate is a task that may probe.
type candidate struct {
	queue TenantQueue
	task  QueuedTask
}

// needs returns the narrowest set of probers that the task belongs to.
func (c candidate) needs() Probers {
	switch {
	case !c.task.Refused.IsZero():
		return AllTasks
	case c.queue.Refused:
		return OtherTasks
	default:
		return OtherTenants
	}
}

// compare returns a negative number when c probes before o.
func (c candidate) compare(o candidate) int {
	if n := cmp.Or(-cmp.Compare(c.needs(), o.needs()), c.task.Refused.Compare(o.task.Refused)); n != 0 {
		return n
	}
	c.queue.First, o.queue.First = c.task.Time, o.task.Time
	return c.queue.compare(o.queue)
}
