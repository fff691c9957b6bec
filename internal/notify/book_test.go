package notify

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var began = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// claimAll claims as much as the quotas permit, and begins it.
func claimAll(b *book, quotas []Quota) {
	for _, q := range quotas {
		var claimed []Claimed
		for range q.Limit {
			claimed = append(claimed, Claimed{Delivery: Delivery{Endpoint: q.Endpoint}})
		}
		b.claimed(claimed, began)
		b.next(b.endpoints[q.Endpoint], began)
	}
}

func dueOf(tenants ...string) []DueEndpoint {
	var due []DueEndpoint
	for i, tenant := range tenants {
		due = append(due, DueEndpoint{ID: EndpointID(fmt.Sprintf("e%02d", i)), Tenant: tenant})
	}
	return due
}

func TestQuotas_ShareTheSlots(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		free int
		due  []DueEndpoint
		want []int // In the order of due.
		last EndpointID
	}{
		{"enough for all", slots, dueOf("a", "b", "a"), []int{4, 4, 4}, ""},
		{"one tenant leaves half", 8, dueOf("a", "a", "a", "a"), []int{1, 1, 1, 1}, ""},
		{"two tenants", 8, dueOf("a", "b"), []int{3, 2}, ""},
		{"less than one each", 2, dueOf("a", "b", "c", "d"), []int{1, 1, 0, 0}, "e01"},
		{"one tenant, one slot", 1, dueOf("a", "a"), []int{1, 0}, "e00"},
		{"none", 0, dueOf("a"), []int{0}, ""},
		{"half-open", slots, []DueEndpoint{{ID: "e00", Tenant: "a", Failures: breakerFailures}, {ID: "e01", Tenant: "a", Failures: breakerFailures - 1}}, []int{1, 4}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBook()
			b.free = tt.free
			quotas, last := b.quotas(tt.due, began)
			granted := map[EndpointID]int{}
			for _, q := range quotas {
				granted[q.Endpoint] = q.Limit
			}
			var got []int
			for _, d := range tt.due {
				got = append(got, granted[d.ID])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || last != tt.last {
				t.Errorf("quotas (-want +got):\n%s\nlast %q, want %q", diff, last, tt.last)
			}
		})
	}
}

// 31 endpoints of a hang. The tenants that come later get slots all the same.
func TestQuotas_ATenantThatReleasesNothingLeavesSlotsForOthers(t *testing.T) {
	t.Parallel()
	b := newBook()
	var due []DueEndpoint
	for i := range MaxEndpoints {
		due = append(due, DueEndpoint{ID: EndpointID(fmt.Sprintf("a%02d", i)), Tenant: "a"})
		b.endpoints[due[i].ID] = &endpoint{tenant: "a", limit: maxRequests, quick: true, used: began}
	}
	for range 10 {
		quotas, _ := b.quotas(due, began)
		claimAll(&b, quotas)
	}
	if held := b.tenants["a"]; held != slots/2 {
		t.Errorf("tenant a holds %d slots, want half of %d", held, slots)
	}
	for i, tenant := range []string{"b", "c", "d"} {
		id := EndpointID(fmt.Sprintf("z%d", i))
		quotas, _ := b.quotas(append(due, DueEndpoint{ID: id, Tenant: tenant}), began)
		if len(quotas) != 1 || quotas[0] != (Quota{id, startRequests}) {
			t.Errorf("quotas %v, want %d for %s", quotas, startRequests, id)
		}
		claimAll(&b, quotas)
	}
}

// What waits for a request in progress when the endpoint begins to fail is left to its lease.
func TestJudged_ARestDropsTheQueue(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.endpoints["e"] = &endpoint{tenant: "a", limit: maxRequests, quick: true, used: began}
	quotas, _ := b.quotas([]DueEndpoint{{ID: "e", Tenant: "a"}}, began)
	claimAll(&b, quotas)
	e := b.endpoints["e"]
	if e.held != maxRequests+maxAhead || e.requests != maxRequests || len(e.queue) != maxAhead {
		t.Fatalf("%d held, %d requests, %d in the queue", e.held, e.requests, len(e.queue))
	}
	r := Result{}
	b.judged(e, held{}, verdict{outcome: outcomeThrottled, retryAfter: time.Minute}, &r, began, began)
	b.stored(e)
	if r.Pause != time.Minute || r.Healthy {
		t.Errorf("result %+v", r)
	}
	if e.held != maxRequests-1 || len(e.queue) != 0 || b.free != slots-e.held || b.tenants["a"] != e.held {
		t.Errorf("%d held, %d in the queue, %d free, tenants %v", e.held, len(e.queue), b.free, b.tenants)
	}
	if quotas, _ := b.quotas([]DueEndpoint{{ID: "e", Tenant: "a"}}, began.Add(time.Minute-1)); len(quotas) != 0 {
		t.Errorf("quotas %v while the endpoint rests", quotas)
	}
	for e.held > 0 {
		r := Result{}
		b.judged(e, held{}, verdict{outcome: outcomeSucceeded}, &r, began, began)
		if b.stored(e); !r.Healthy {
			t.Errorf("result %+v", r)
		}
	}
	if b.free != slots || len(b.tenants) != 0 {
		t.Errorf("%d slots are free, tenants %v", b.free, b.tenants)
	}
	b.quotas(nil, began.Add(time.Hour))
	if len(b.endpoints) != 0 {
		t.Error("the endpoint is remembered for an hour")
	}
}

func TestNext_GivesUpWhatHasWaitedTooLong(t *testing.T) {
	t.Parallel()
	b := newBook()
	quotas, _ := b.quotas(dueOf("a"), began)
	b.claimed([]Claimed{{Delivery: Delivery{Endpoint: quotas[0].Endpoint}}}, began)
	e := b.endpoints[quotas[0].Endpoint]
	if begin := b.next(e, began.Add(maxQueued+1)); len(begin) != 0 || e.held != 0 || b.free != slots {
		t.Errorf("%d begin, %d held, %d free", len(begin), e.held, b.free)
	}
}
