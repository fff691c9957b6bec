package admission

import (
	"slices"

	"github.com/refract-video/refract/internal/task"
)

// Share chooses which tasks get the permits of a round, one permit after the other: each goes to the tenant that has least of
// the provider for its weight, and there to the first task of the tenant's queue whose offering has room.
//
// So a tenant that has nothing at the provider goes before all that have something, whatever they have queued and whatever
// priority they give it: a backlog delays its own tenant alone. Within a queue a step of priority counts as a minute of
// waiting, so no task starves.
func Share(permits int, queues []TenantQueue, rooms *Rooms) []task.ID {
	queues = slices.Clone(queues)
	var chosen []task.ID
	for len(chosen) < permits {
		next := -1
		for i, q := range queues {
			if len(q.Tasks) > 0 && q.Left > 0 && (next < 0 || q.Before(queues[next])) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		q := &queues[next]
		if rooms.take(q.Tasks[0]) {
			chosen = append(chosen, q.Tasks[0].Task)
			q.Used++
			q.Left--
		}
		q.Tasks = q.Tasks[1:]
		if len(q.Tasks) > 0 {
			q.First = q.Tasks[0].Time
		}
	}
	return chosen
}
