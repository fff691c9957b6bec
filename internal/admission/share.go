package admission

import (
	"slices"

	"github.com/refract-video/refract/internal/task"
)

// Share chooses which tasks get the permits of a round, one permit after the other: each goes to the tenant
// that has least of the provider for its weight, and there to the task that is first in the tenant's line.
//
// So a tenant that has nothing at the provider goes before all that have something, whatever they have queued
// and however they rate it: a backlog delays its own tenant alone. Within a line a step of priority counts as a
// minute of waiting, so nothing starves.
func Share(permits int, lines []Line) []task.ID {
	lines = slices.Clone(lines)
	var chosen []task.ID
	for len(chosen) < permits {
		next := -1
		for i, l := range lines {
			if len(l.Tasks) > 0 && l.Left > 0 && (next < 0 || l.Before(lines[next])) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		l := &lines[next]
		chosen = append(chosen, l.Tasks[0].Task)
		l.Tasks = l.Tasks[1:]
		l.Used++
		l.Left--
		if len(l.Tasks) > 0 {
			l.First = l.Tasks[0].Time
		}
	}
	return chosen
}
