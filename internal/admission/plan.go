package admission

import "time"

// Plan is what one round of admission does with the queue of a provider.
type Plan struct {
	Permits []string // The accounts that the next tasks go to, one a task.
	Probes  []Usage  // The accounts that one task each may probe.
	MoveOn  int      // How many tasks that may do so move on to their next provider.
}

// Plan chooses what goes next to the provider: as many tasks as its accounts have permits, each to the account that has most
// left. Accounts that were paused are probed. When every account is blocked and no probe is under way, tasks that have another
// provider in their route move on. usages has the accounts that this round holds. It lacks those that another replica holds, and
// while one is missing no task moves on, since that account may work.
func (r Round) Plan(usages []Usage) Plan {
	var p Plan
	left := make([]int, len(usages))
	blocked := true // A provider without any account counts as blocked.
	for i, u := range usages {
		blocked = blocked && u.Paused && u.Blocked && u.Unanswered == 0
		switch {
		case u.Probeable():
			p.Probes = append(p.Probes, u)
		case !u.Probing:
			left[i] = u.Permits()
		}
	}
	if blocked {
		if len(usages) == len(r.Limits) {
			p.MoveOn = MaxTasks
		}
		return p
	}
	for len(p.Permits) < MaxTasks {
		i := largest(left)
		if i < 0 || left[i] == 0 {
			break
		}
		left[i]--
		p.Permits = append(p.Permits, usages[i].Account)
	}
	return p
}

// largest returns the index of the largest number, the first of several, or -1 where there are none.
func largest(n []int) int {
	best := -1
	for i := range n {
		if best < 0 || n[i] > n[best] {
			best = i
		}
	}
	return best
}

// LongestWindow returns the longest rate window of accounts.
func LongestWindow(usages []Usage) time.Duration {
	var window time.Duration
	for _, u := range usages {
		window = max(window, u.Limits.Window)
	}
	return window
}
