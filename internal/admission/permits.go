package admission

// Rules are how Refract admits: limits by account, fair shares between tenants.
var Rules = Policy{Plan: PlanRound, Share: Share, Probe: Probe}

// Plan is what one round of admission does with the queue of a provider.
type Plan struct {
	Permits []string // The accounts that the next tasks go to, one a task.
	Probes  []Usage  // The accounts that one task each may probe.
	MoveOn  int      // How many tasks that may do so move on to their next provider.
}

// maxRound bounds how many tasks one round changes, so that a round stays a short transaction.
const maxRound = 100

// PlanRound chooses what goes next to a provider: as many tasks as its accounts have permits, each to the account
// that has most left. Accounts that were paused are probed. Where every account is blocked, tasks that have another provider
// to go to move on, unless a probe is under way.
func PlanRound(usages []Usage) Plan {
	var p Plan
	left := make([]int, len(usages))
	blocked := true // So is a provider without any account.
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
		p.MoveOn = maxRound
		return p
	}
	for len(p.Permits) < maxRound {
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
