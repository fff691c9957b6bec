package admission

import (
	"slices"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// TenantQueue is what one tenant has queued at a provider.
type TenantQueue struct {
	Tenant string
	Weight int          // How much of the provider the tenant gets, relative to other tenants with queued tasks.
	Used   int          // The tenant's attempts that take a permit of the provider now.
	Left   int          // How many more attempts the tenant's own quota allows.
	First  time.Time    // The place of the task that goes next: the time at which it was queued, less its priority in minutes.
	Tasks  []QueuedTask // The tasks that go next, in this order.

	Refused bool // Whether the account that is to be probed refused a task of the tenant since its trouble began.
}

// QueuedTask is a task of a TenantQueue.
type QueuedTask struct {
	Task    task.ID
	Model   string    // The name by which it asks for an offering; empty if it names none.
	Time    time.Time // Its place, as TenantQueue.First.
	Refused time.Time // When the account that is to be probed last refused the task since its trouble began; zero if it did not.
}

// Before reports whether the tenant's next task goes before that of another: the tenant that has least of the
// provider for its weight goes first, then the one that waits longest.
func (q TenantQueue) Before(o TenantQueue) bool {
	if mine, others := q.Used*o.Weight, o.Used*q.Weight; mine != others {
		return mine < others
	}
	if !q.First.Equal(o.First) {
		return q.First.Before(o.First)
	}
	return q.Tenant < o.Tenant
}

func (q TenantQueue) compare(o TenantQueue) int {
	switch {
	case q.Before(o):
		return -1
	case o.Before(q):
		return 1
	default:
		return 0
	}
}

// Contenders returns the queues that can get one of n permits, in the order of Before. It sorts queues in place.
func Contenders(queues []TenantQueue, n int) []TenantQueue {
	slices.SortFunc(queues, TenantQueue.compare)
	queues = slices.DeleteFunc(queues, func(q TenantQueue) bool { return q.Left <= 0 })
	return queues[:min(n, len(queues))]
}
