package admission

import (
	"cmp"

	"github.com/refract-video/refract/internal/task"
)

// Probe chooses the task that finds out whether an account works again: the one that has least to do with the refusals
// that made it pause. Tasks of tenants of which none was refused go first, then tasks that were not refused, then the one
// whose refusal is oldest. So a task that the account always refuses is not probed with again while any other waits.
//
// A pause that rests on few tasks is short for all others: see Probers.
func Probe(account Usage, lines []Line) (task.ID, bool) {
	var best candidate
	for _, l := range lines {
		if l.Left <= 0 {
			continue
		}
		for _, p := range l.Tasks {
			c := candidate{line: l, place: p}
			if account.Probers <= c.needs() && (best.place.Task == "" || c.compare(best) < 0) {
				best = c
			}
		}
	}
	return best.place.Task, best.place.Task != ""
}

// candidate is a task that may probe.
type candidate struct {
	line  Line
	place Place
}

// needs is the narrowest set of probers that the task belongs to.
func (c candidate) needs() Probers {
	switch {
	case !c.place.Refused.IsZero():
		return AllTasks
	case c.line.Refused:
		return OtherTasks
	default:
		return OtherTenants
	}
}

func (c candidate) compare(o candidate) int {
	if n := cmp.Or(-cmp.Compare(c.needs(), o.needs()), c.place.Refused.Compare(o.place.Refused)); n != 0 {
		return n
	}
	c.line.First, o.line.First = c.place.Time, o.place.Time
	return c.line.compare(o.line)
}
