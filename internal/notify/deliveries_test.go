package notify

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// errDatabase is the failure of a database that is down.
var errDatabase = errors.New("the database is down")

// row is a delivery of the stand-in.
type row struct {
	Delivery
	task     task.Task
	event    task.Event
	leased   time.Time // Until when; zero if it is not leased.
	attempts []Attempt
}

// memory is a stand-in for the store where tests bend time. It does what the comments of Deliveries say.
type memory struct {
	mu        sync.Mutex
	endpoints map[EndpointID]*Endpoint
	rows      map[EndpointID][]*row    // In the order of their events.
	slots     map[EndpointID]time.Time // When the rate limit permits the next request.
	down      bool                     // Whether every call fails.
	claims    int                      // Calls of Claim.
	finished  func()                   // Called after each Finish; may be nil.
}

func newMemory(endpoints ...Endpoint) *memory {
	m := &memory{endpoints: map[EndpointID]*Endpoint{}, rows: map[EndpointID][]*row{}, slots: map[EndpointID]time.Time{}}
	for _, e := range endpoints {
		e.UpdateTime = time.Now()
		m.endpoints[e.ID] = &e
	}
	return m
}

// add adds deliveries of one task, one for each state, with revisions from 1.
func (m *memory) add(id EndpointID, t task.ID, states ...task.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range states {
		now := time.Now()
		event := EventID{t, int64(i + 1)}
		m.rows[id] = append(m.rows[id], &row{
			Delivery: Delivery{Endpoint: id, Event: event, TaskState: s, State: DeliveryPending, NextAttempt: now, EventTime: now},
			task:     task.Task{ID: t, Tenant: m.endpoints[id].Tenant, Revision: int64(len(states)), State: states[len(states)-1]},
			event:    task.Event{Revision: event.Revision, State: s, CreateTime: now},
		})
	}
}

func (m *memory) DueEndpoints(_ context.Context, after EndpointID, limit int) ([]DueEndpoint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errDatabase
	}
	var due []DueEndpoint
	for id, e := range m.endpoints {
		if id <= after || e.Disabled != "" || time.Now().Before(e.PausedUntil) || time.Now().Before(m.slots[id]) {
			continue
		}
		if slices.ContainsFunc(m.rows[id], func(r *row) bool { return r.State == DeliveryPending && !time.Now().Before(r.NextAttempt) }) {
			due = append(due, DueEndpoint{ID: id, Tenant: e.Tenant, Failures: e.Failures})
		}
	}
	slices.SortFunc(due, func(a, b DueEndpoint) int { return cmp.Compare(a.ID, b.ID) })
	return due[:min(limit, len(due))], nil
}

func (m *memory) Claim(_ context.Context, quotas []Quota, lease time.Duration) ([]Claimed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errDatabase
	}
	m.claims++
	now := time.Now()
	var claimed []Claimed
	for _, q := range quotas {
		e, n, seen := m.endpoints[q.Endpoint], 0, map[task.ID]bool{}
		pause, slot := m.slot(e, now)
		for _, r := range m.rows[q.Endpoint] {
			if n == q.Limit || now.Before(slot) {
				break
			}
			if r.State != DeliveryPending || seen[r.Event.Task] {
				continue
			}
			seen[r.Event.Task] = true
			if now.Before(r.NextAttempt) || now.Before(e.PausedUntil) || e.Disabled != "" {
				continue
			}
			n++
			slot = slot.Add(pause)
			r.leased, r.NextAttempt = now.Add(lease), now.Add(lease)
			claimed = append(claimed, Claimed{
				Delivery: r.Delivery, Target: *e, Task: r.task, TaskEvent: r.event, PerTask: e.URL == "",
			})
			if e.URL == "" {
				claimed[len(claimed)-1].Target.URL = "https://tasks.example/" + string(r.Event.Task)
			}
		}
		m.slots[q.Endpoint] = slot
	}
	return claimed, nil
}

// slot returns the pause between two requests and the first slot that is free. What was not used before remains for a quarter of a second.
func (m *memory) slot(e *Endpoint, now time.Time) (pause time.Duration, slot time.Time) {
	if e.RateLimit == 0 {
		return 0, time.Time{}
	}
	pause = time.Second / time.Duration(e.RateLimit)
	oldest := now.Add(-pause * time.Duration(max(e.RateLimit/4, 1)-1))
	if slot = m.slots[e.ID]; slot.Before(oldest) {
		slot = oldest
	}
	return pause, slot
}

func (m *memory) Finish(_ context.Context, results []Result) ([]Endpoint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errDatabase
	}
	now := time.Now()
	var disabled []Endpoint
	for _, res := range results {
		i := slices.IndexFunc(m.rows[res.Delivery.Endpoint], func(r *row) bool { return r.Event == res.Delivery.Event })
		r, e := m.rows[res.Delivery.Endpoint][i], m.endpoints[res.Delivery.Endpoint]
		r.attempts = append(r.attempts, res.Attempt)
		if r.State != DeliveryPending || r.leased.IsZero() {
			continue
		}
		r.State, r.leased, r.NextAttempt = res.State, time.Time{}, now.Add(res.Retry)
		r.Attempts++
		if res.EndpointUpdate.Before(e.UpdateTime) {
			continue
		}
		if res.Healthy {
			e.Failures, e.FailingTime, e.PausedUntil = 0, time.Time{}, time.Time{}
		} else if e.Failures++; e.FailingTime.IsZero() {
			e.FailingTime = now
		}
		if until := now.Add(res.Pause); res.Pause > 0 && until.After(e.PausedUntil) {
			e.PausedUntil = until
		}
		if res.Disable == "" && !e.FailingTime.IsZero() && now.Sub(e.FailingTime) >= MaxFailing {
			res.Disable = DisabledFailing
		}
		if res.Disable != "" && e.Disabled == "" {
			e.Disabled, e.DisableTime = res.Disable, now
			disabled = append(disabled, *e)
		}
	}
	if m.finished != nil {
		m.finished()
	}
	return disabled, nil
}

func (m *memory) Backlog(context.Context) (Backlog, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return Backlog{}, errDatabase
	}
	var b Backlog
	for id, e := range m.endpoints {
		if e.Disabled == DisabledGone || e.Disabled == DisabledFailing {
			b.Disabled++
		}
		for _, r := range m.rows[id] {
			if r.State != DeliveryPending {
				continue
			}
			b.Pending++
			if e.Disabled == "" && (b.OldestEvent.IsZero() || r.EventTime.Before(b.OldestEvent)) {
				b.OldestEvent = r.EventTime
			}
		}
	}
	return b, nil
}
