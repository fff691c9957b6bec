package admission

import (
	"cmp"

	"github.com/refract-video/refract/internal/task"
)

// Probe chooses the task that tests whether an account works again. It prefers the task that is least related to the refusals
// that paused the account: first tasks of tenants without refusals, then tasks without refusals, then the task with the oldest
// refusal. So a task that the account always refuses does not probe again while another task waits. Probe returns false when
// no task may probe. Each queue must contain its first task without a refusal, if there is one, and its tasks with refusals.
//
// If only a few tasks caused a pause, the pause is short for all others: see Probers.
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
