package console

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Attempts to sign in are bounded, for the load that they make: a secret of 32 random bytes is not found by trying. People behind one
// proxy share an address.
const (
	attemptsEach      = 1.0 // Per second, from one address.
	attemptsEachBurst = 30
	attemptsAll       = 20.0 // At this replica.
	attemptsAllBurst  = 200
	// maxAddresses bounds the memory. When there are more, all are forgotten, and attemptsAll remains.
	maxAddresses = 4096
)

// attempts bounds how often strangers try to sign in.
type attempts struct {
	all *rate.Limiter

	mu   sync.Mutex
	each map[netip.Prefix]*rate.Limiter
}

func newAttempts() *attempts {
	return &attempts{all: rate.NewLimiter(attemptsAll, attemptsAllBurst), each: map[netip.Prefix]*rate.Limiter{}}
}

// allow reports whether a request may try now.
func (a *attempts) allow(r *http.Request, now time.Time) bool {
	return a.of(network(r.RemoteAddr)).AllowN(now, 1) && a.all.AllowN(now, 1)
}

// of returns the limiter of a network.
func (a *attempts) of(p netip.Prefix) *rate.Limiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	limiter := a.each[p]
	if limiter == nil {
		if len(a.each) >= maxAddresses {
			clear(a.each)
		}
		limiter = rate.NewLimiter(attemptsEach, attemptsEachBurst)
		a.each[p] = limiter
	}
	return limiter
}

// network returns whom attempts from an address count for: the address, or the network of an IPv6 address, of which one host may have all.
func network(remote string) netip.Prefix {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := addr.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // The bits are those of the family.
	return p
}
