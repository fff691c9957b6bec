package notify

import (
	"time"

	"github.com/refract-video/refract/internal/fair"
)

// forgetAfter is how long the book remembers an endpoint of which it holds nothing.
const forgetAfter = time.Minute

// book keeps account of the deliveries that a replica holds, by endpoint and tenant. It decides what may be claimed and sent, and
// has no goroutine, no database and no network. Its methods must not be called concurrently.
type book struct {
	free      int
	storing   int            // Results that wait to be stored.
	starved   bool           // Whether the slots did not suffice for a round.
	tenants   map[string]int // How many deliveries are held of each.
	endpoints map[EndpointID]*endpoint
	swept     time.Time
}

// endpoint is what a replica knows about an endpoint from its own requests.
type endpoint struct {
	tenant   string
	held     int    // Deliveries from their claim until their requests end.
	storing  int    // Results that wait to be stored, which the database does not know yet.
	queue    []held // Those of them that wait for a request in progress.
	requests int    // In progress.
	limit    int    // Of requests in progress.
	failures int    // In a row.
	quick    bool   // Whether the last request was shorter than quickRequest.
	rests    time.Time
	used     time.Time
}

// held is a claimed delivery.
type held struct {
	Claimed

	at time.Time // When it was claimed, by the clock of this machine.
}

func newBook() book {
	return book{free: slots, tenants: map[string]int{}, endpoints: map[EndpointID]*endpoint{}}
}

// full reports whether no slot is free, or too many results wait because the database is slow.
func (b *book) full() bool {
	b.starved = b.free == 0 || b.storing >= maxStoring
	return b.starved
}

// quotas shares the free slots among due endpoints: one for each in turn, as long as it has room and its tenant may hold more. If the
// slots do not suffice for one for each, last is the endpoint after which the next round begins.
func (b *book) quotas(due []DueEndpoint, now time.Time) (quotas []Quota, last EndpointID) {
	b.forget(now)
	free, granted, byTenant := b.free, map[EndpointID]int{}, map[string]int{}
	for turn, again := 0, true; again && free > 0; turn++ {
		again = false
		var before EndpointID
		for _, d := range due {
			if free == 0 && turn == 0 {
				b.starved, last = true, before
			}
			if free == 0 {
				break
			}
			before = d.ID
			if granted[d.ID] >= b.room(d, now) || !b.mayHold(d.Tenant, byTenant[d.Tenant], free) {
				continue
			}
			granted[d.ID]++
			byTenant[d.Tenant]++
			free--
			again = true
		}
	}
	for _, d := range due {
		if n := granted[d.ID]; n > 0 {
			quotas = append(quotas, Quota{Endpoint: d.ID, Limit: n})
			b.of(d).used = now
		}
	}
	return quotas, last
}

// mayHold reports whether a tenant may hold one delivery more, if it is granted some already.
func (b *book) mayHold(tenant string, granted, free int) bool {
	holds := b.tenants[tenant] + granted
	return holds < fair.Limit(holds+free)
}

// room returns how many deliveries of a due endpoint may be claimed.
func (b *book) room(d DueEndpoint, now time.Time) int {
	e := b.endpoints[d.ID]
	switch {
	case e == nil && d.Failures >= breakerFailures:
		return 1
	case e == nil:
		return startRequests
	case now.Before(e.rests):
		return 0
	case d.Failures >= breakerFailures: // Half-open.
		return max(1-e.held-e.storing, 0)
	}
	return e.room()
}

// room returns how many more deliveries of an endpoint may be held. Many requests that are quick are worth a claim in advance, which
// has to be large to be cheap.
func (e *endpoint) room() int {
	most, least := e.limit, max(e.limit/4, 1)
	if e.quick && e.limit == maxRequests {
		most += maxAhead
		least = most / 2
	}
	if room := most - e.held; room >= least {
		return room
	}
	return 0
}

func (b *book) of(d DueEndpoint) *endpoint {
	e := b.endpoints[d.ID]
	if e == nil {
		e = &endpoint{tenant: d.Tenant, limit: startRequests}
		b.endpoints[d.ID] = e
	}
	return e
}

// claimed takes up what a claim has returned.
func (b *book) claimed(claimed []Claimed, now time.Time) {
	for _, c := range claimed {
		e := b.endpoints[c.Endpoint]
		if e == nil {
			continue // It was not asked for, so its lease ends by itself.
		}
		if e.held+e.storing == 0 {
			e.failures = c.Target.Failures // Of all replicas. Until its results are stored this replica knows better.
		}
		b.free--
		b.tenants[e.tenant]++
		e.held++
		e.queue = append(e.queue, held{Claimed: c, at: now})
	}
}

// next takes the deliveries out of the queue whose requests may begin now. Those that have waited too long are given up.
func (b *book) next(e *endpoint, now time.Time) (begin []held) {
	for len(e.queue) > 0 && e.requests < e.limit {
		h := e.queue[0]
		e.queue = e.queue[1:]
		if now.Sub(h.at) > maxQueued {
			b.drop(e, 1)
			continue
		}
		e.requests++
		begin = append(begin, h)
	}
	return begin
}

// judged takes up the end of a request, which frees its slot, and completes its result with what concerns the endpoint. now is by the database's clock,
// local by that of this machine.
func (b *book) judged(e *endpoint, h held, v verdict, r *Result, now, local time.Time) {
	e.requests--
	b.drop(e, 1)
	b.storing++
	e.storing++
	e.quick = r.Attempt.Duration < quickRequest
	switch {
	case v.outcome == outcomeSucceeded:
		r.Healthy, e.failures, e.limit = true, 0, min(e.limit+1, maxRequests)
		return
	case h.PerTask: // The URI of one task says nothing about those of others.
		r.Healthy = true
		return
	case v.outcome == outcomeTooLarge: // Nothing was sent.
		r.Healthy = e.failures == 0
		return
	}
	e.failures++
	e.limit = startRequests
	failing := time.Duration(0)
	if !h.Target.FailingTime.IsZero() {
		failing = now.Sub(h.Target.FailingTime)
	}
	r.Pause = max(breakerPause(e.failures, failing), v.retryAfter)
	if v.outcome == outcomeGone {
		r.Disable = DisabledGone
	}
	if r.Pause > 0 || r.Disable != "" {
		// Until the result is stored. From then on the database knows the pause, and a caller may end it.
		b.rest(e, local.Add(min(max(r.Pause, minPause), ownPause)))
	}
}

// failed takes up the end of a request that failed for a reason of ours. The endpoint rests, since its next event would fail too.
func (b *book) failed(e *endpoint, local time.Time) {
	e.requests--
	b.drop(e, 1)
	b.rest(e, local.Add(ownPause))
}

// rest claims and sends nothing for an endpoint until a time. What waits in the queue is left to its lease.
func (b *book) rest(e *endpoint, until time.Time) {
	e.rests = until
	b.drop(e, len(e.queue))
	e.queue = nil
}

// stored takes up that a result is stored, or given up.
func (b *book) stored(e *endpoint) {
	b.storing--
	e.storing--
}

// hasRoom reports whether a round may claim more, now that a request to the endpoint has ended.
func (b *book) hasRoom(e *endpoint) bool { return b.starved || e.room() > 0 }

// drop frees slots of an endpoint.
func (b *book) drop(e *endpoint, n int) {
	b.free += n
	e.held -= n
	if b.tenants[e.tenant] -= n; b.tenants[e.tenant] == 0 {
		delete(b.tenants, e.tenant)
	}
}

// forget removes endpoints that were not used for a while, so that the book does not grow with their number.
func (b *book) forget(now time.Time) {
	if now.Sub(b.swept) < forgetAfter {
		return
	}
	b.swept = now
	for id, e := range b.endpoints {
		if e.held+e.storing == 0 && now.Sub(e.used) > forgetAfter && now.After(e.rests) {
			delete(b.endpoints, id)
		}
	}
}
