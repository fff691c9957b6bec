package admission

import (
	"slices"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Line is what one tenant has queued at a provider.
type Line struct {
	Tenant string
	Weight int       // How much of the provider the tenant gets, relative to others that wait.
	Used   int       // The tenant's attempts that take a permit of the provider now.
	Left   int       // How many more attempts the tenant's own quota allows.
	First  time.Time // The place of the task that goes next: the time at which it was queued, less its priority in minutes.
	Tasks  []Place   // The tasks that go next, in this order.

	Refused bool // Whether the account that is to be probed refused a task of the tenant since its trouble began.
}

// Place is a task in a line.
type Place struct {
	Task    task.ID
	Time    time.Time // As Line.First.
	Refused time.Time // When the account that is to be probed last refused the task since its trouble began; zero where it did not.
}

// Before reports whether the tenant's next task goes before that of another: the tenant that has least of the
// provider for its weight goes first, then the one that waits longest.
func (l Line) Before(o Line) bool {
	if mine, others := l.Used*o.Weight, o.Used*l.Weight; mine != others {
		return mine < others
	}
	if !l.First.Equal(o.First) {
		return l.First.Before(o.First)
	}
	return l.Tenant < o.Tenant
}

// Contenders returns the queues that can get one of n permits, those first that have least for their weight. It sorts queues.
func Contenders(queues []Line, n int) []Line {
	slices.SortFunc(queues, Line.compare)
	queues = slices.DeleteFunc(queues, func(l Line) bool { return l.Left <= 0 })
	return queues[:min(n, len(queues))]
}

func (l Line) compare(o Line) int {
	switch {
	case l.Before(o):
		return -1
	case o.Before(l):
		return 1
	default:
		return 0
	}
}
