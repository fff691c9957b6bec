// Package fair shares a bounded number of slots among tenants, and the slots of a tenant among hosts.
//
// A slot stands for a resource that a slow host or caller may occupy for long, such as a download of a result or an
// upload. The package guarantees:
//
//   - No more slots are held than there are.
//   - A tenant that holds slots takes another one only if at least as many slots stay free as it then holds. So half of the
//     slots stay for other tenants if one tenant never releases its slots, at least a quarter if two do so, and so on.
//     A tenant that holds no slot takes any free one.
//   - The same rule applies to the hosts of a tenant: one host takes at most half of what the tenant may hold. A host
//     that hangs leaves the tenant slots for other hosts.
//   - Of the waiting claims that may take a slot, the one with the earliest due time takes it.
//   - The number of waiting claims is bounded. When the list is full, the tenant with the most claims in it loses the
//     one that is due last.
//
// The rule is that of dynamic thresholds, by which switches share memory among ports (Choudhury and Hahne, 1998).
package fair

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrFull means that too many claims wait. The caller should try again later.
var ErrFull = errors.New("too many claims wait for a slot")

// Claim is a request for a slot.
type Claim struct {
	Tenant string
	Host   string    // Empty where the tenant's slots are not shared among hosts.
	Due    time.Time // The waiting claim with the earliest due time goes first.
}

// Limit returns how many slots a tenant or host may hold. available is the number of slots that it holds plus the number that
// are free for it.
func Limit(available int) int { return max(available/2, 1) }

// Gate hands out slots. Its methods may be called concurrently.
type Gate struct {
	mu         sync.Mutex
	free       int
	maxWaiting int
	tenants    map[string]*holder
	waiting    []*waiter // By Due.
}

// holder has the slots and the number of waiting claims of a tenant.
type holder struct {
	held    int
	hosts   map[string]int
	waiting int
}

// waiter is a claim that waits.
type waiter struct {
	Claim

	answer chan error // Receives nil with a slot, or ErrFull; once.
}

// New returns a gate with a number of slots, all free, and a bound on the claims that wait.
func New(slots, waiting int) *Gate {
	return &Gate{free: slots, maxWaiting: waiting, tenants: map[string]*holder{}}
}

// Acquire waits for a slot and returns a function that releases it; further calls of release do nothing. The error is
// ErrFull, or that of ctx if it ends first.
func (g *Gate) Acquire(ctx context.Context, c Claim) (release func(), err error) {
	w := g.enter(c)
	select {
	case err = <-w.answer:
	case <-ctx.Done():
		if g.leave(w) {
			return nil, ctx.Err()
		}
		err = <-w.answer // The claim was answered first.
	}
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { g.release(c) }), nil
}

// enter takes a slot at once, or adds the claim to the waiting ones.
func (g *Gate) enter(c Claim) *waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &waiter{Claim: c, answer: make(chan error, 1)}
	if g.may(c) {
		g.take(w)
		return w
	}
	// The claim goes behind others with the same due time.
	at, _ := slices.BinarySearchFunc(g.waiting, c.Due, func(w *waiter, due time.Time) int {
		if w.Due.After(due) {
			return 1
		}
		return -1
	})
	g.waiting = slices.Insert(g.waiting, at, w)
	g.of(c.Tenant).waiting++
	if len(g.waiting) > g.maxWaiting {
		g.remove(g.victim()).answer <- ErrFull
	}
	return w
}

// victim returns the index of the waiting claim that is refused.
func (g *Gate) victim() int {
	last := len(g.waiting) - 1
	for i := last - 1; i >= 0; i-- {
		if g.of(g.waiting[i].Tenant).waiting > g.of(g.waiting[last].Tenant).waiting {
			last = i
		}
	}
	return last
}

// leave removes a waiting claim. It returns false if the claim no longer waits.
func (g *Gate) leave(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.waiting, w)
	if at >= 0 {
		g.remove(at)
	}
	return at >= 0
}

func (g *Gate) remove(at int) *waiter {
	w := g.waiting[at]
	g.waiting = slices.Delete(g.waiting, at, at+1)
	g.of(w.Tenant).waiting--
	g.tidy(w.Tenant)
	return w
}

// may reports whether a claim may take a slot.
func (g *Gate) may(c Claim) bool {
	if g.free == 0 {
		return false
	}
	t := g.tenants[c.Tenant]
	if t == nil {
		return true
	}
	left := Limit(t.held+g.free) - t.held
	return left > 0 && (c.Host == "" || t.hosts[c.Host] < Limit(t.hosts[c.Host]+left))
}

func (g *Gate) take(w *waiter) {
	t := g.of(w.Tenant)
	g.free--
	t.held++
	t.hosts[w.Host]++
	w.answer <- nil
}

// release frees a slot, and gives free slots to the waiting claims that may take them.
func (g *Gate) release(c Claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.of(c.Tenant)
	g.free++
	t.held--
	if t.hosts[c.Host]--; t.hosts[c.Host] == 0 {
		delete(t.hosts, c.Host)
	}
	g.tidy(c.Tenant)
	for i := 0; i < len(g.waiting) && g.free > 0; {
		if !g.may(g.waiting[i].Claim) {
			i++
			continue
		}
		w := g.waiting[i]
		g.take(w)
		g.remove(i)
	}
}

func (g *Gate) of(tenant string) *holder {
	t := g.tenants[tenant]
	if t == nil {
		t = &holder{hosts: map[string]int{}}
		g.tenants[tenant] = t
	}
	return t
}

// tidy removes a tenant that holds nothing and waits for nothing.
func (g *Gate) tidy(tenant string) {
	if t := g.tenants[tenant]; t != nil && t.held == 0 && t.waiting == 0 {
		delete(g.tenants, tenant)
	}
}
