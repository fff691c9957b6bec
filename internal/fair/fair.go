// Package fair shares a bounded number of places among tenants, and those of a tenant among hosts.
//
// A place is what a slow party may hold for long: a download of a result, a file of an upload that is being written. The
// package promises:
//
//   - No more places are held than there are.
//   - A tenant takes a second and every further place only while it leaves as many free as it then holds. Whatever one tenant
//     holds for ever, half of the places stay for the others; whatever two hold, at least a quarter; and so on. A tenant that
//     holds nothing takes any free place.
//   - Of what a tenant may hold, one host takes half by the same rule, so that a host that hangs leaves the tenant places for
//     other hosts.
//   - Among those that wait and may take a place, the one whose claim is due first takes it.
//   - The list of those that wait is bounded. When it is full, the tenant that has most in it gives way with the claim that is
//     due last.
//
// The rule is that of dynamic thresholds, by which switches share their memory among ports (Choudhury and Hahne, 1998).
package fair

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrFull means that too many claims wait. The claim is to be made again later.
var ErrFull = errors.New("too many wait for a place")

// Claim says who wants a place.
type Claim struct {
	Tenant string
	Host   string    // Empty where the tenant's places are not shared among hosts.
	Due    time.Time // Of those that wait, the earliest goes first.
}

// Limit is how many places a party may hold where room is what it holds and what is free for it.
func Limit(room int) int { return max(room/2, 1) }

// Gate has places. Its methods may be called concurrently.
type Gate struct {
	mu      sync.Mutex
	free    int
	most    int // How many claims may wait.
	tenants map[string]*holder
	waiting []*waiter // By Due.
}

// holder is what a tenant has.
type holder struct {
	held    int
	hosts   map[string]int
	waiting int
}

// waiter is a claim that waits.
type waiter struct {
	Claim

	answer chan error // Receives nil with a place, or ErrFull; once.
}

// New returns a gate with so many places, all free, for which so many claims may wait.
func New(places, waiting int) *Gate {
	return &Gate{free: places, most: waiting, tenants: map[string]*holder{}}
}

// Acquire waits for a place, which release gives back; calling release again does nothing. The error is ErrFull, or that of
// ctx where it ends before there is a place.
func (g *Gate) Acquire(ctx context.Context, c Claim) (release func(), err error) {
	w := g.enter(c)
	select {
	case err = <-w.answer:
	case <-ctx.Done():
		if g.leave(w) {
			return nil, ctx.Err()
		}
		err = <-w.answer // It has been answered meanwhile.
	}
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { g.release(c) }), nil
}

// enter takes a place at once, or begins to wait.
func (g *Gate) enter(c Claim) *waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &waiter{Claim: c, answer: make(chan error, 1)}
	if g.may(c) {
		g.take(w)
		return w
	}
	// Behind those that are due at the same time.
	at, _ := slices.BinarySearchFunc(g.waiting, c.Due, func(w *waiter, due time.Time) int {
		if w.Due.After(due) {
			return 1
		}
		return -1
	})
	g.waiting = slices.Insert(g.waiting, at, w)
	g.of(c.Tenant).waiting++
	if len(g.waiting) > g.most {
		g.remove(g.victim()).answer <- ErrFull
	}
	return w
}

// victim is the place in the list of the claim that gives way.
func (g *Gate) victim() int {
	last := len(g.waiting) - 1
	for i := last - 1; i >= 0; i-- {
		if g.of(g.waiting[i].Tenant).waiting > g.of(g.waiting[last].Tenant).waiting {
			last = i
		}
	}
	return last
}

// leave removes a claim that waits, and reports whether it did.
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

// may reports whether a claim may take a place.
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

// release gives a place back, and those that wait what they may take.
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

// tidy forgets a tenant that has nothing.
func (g *Gate) tidy(tenant string) {
	if t := g.tenants[tenant]; t != nil && t.held == 0 && t.waiting == 0 {
		delete(g.tenants, tenant)
	}
}
