package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Endpoint is a webhook endpoint of a tenant, which existed before the first task.
type Endpoint struct {
	Name, Tenant string
	States       []string // The states whose events it subscribed to.
	// URI is what the webhook_uri of a task must be for its events to be sent there; empty means any.
	URI string
}

// wants reports whether an event of a task must reach an endpoint.
func (e Endpoint) wants(t *Task, state string) bool {
	return t.Tenant == e.Tenant && slices.Contains(e.States, state) && (e.URI == "" || e.URI == t.WebhookURI)
}

// Reception is a request that reached an endpoint. Its times count arrivals and answers, over all endpoints.
type Reception struct {
	Endpoint string // Its name.
	EventID  string
	Body     []byte // Nil unless it arrived whole.
	Signed   bool   // Whether it is signed with the secret of the endpoint.
	Accepted bool   // Whether it was answered with a 2xx status.
	Arrived  int
	Answered int    // 0 if no status was sent.
	Behavior string // What the receiver did with it, for the report.
}

// eventID returns the id of an event as endpoints see it.
func eventID(task string, revision int64) string { return fmt.Sprintf("evt_%s_%d", task, revision) }

// webhookChecks check promise 17: every event reaches every subscribed endpoint, in order per task, signed, and no other.
var webhookChecks = []check{
	{17, "every event reached its endpoints", func(f *Facts, fail func(string, ...any)) {
		accepted := f.firsts(func(r Reception) bool { return r.Accepted })
		for _, e := range f.Endpoints {
			for id, events := range f.history {
				for _, event := range events {
					if _, came := accepted[reached{e.Name, eventID(id, event.Revision)}]; !came && e.wants(f.tasks[id], event.State) {
						fail("revision %d of task %s, which is %s, did not reach %s", event.Revision, id, event.State, e.Name)
					}
				}
			}
		}
	}},
	{17, "events of a task arrive in order", func(f *Facts, fail func(string, ...any)) {
		first := f.firsts(func(Reception) bool { return true })
		accepted := f.firsts(func(r Reception) bool { return r.Accepted })
		for _, e := range f.Endpoints {
			for id, events := range f.history {
				var before *Event
				for i := range events {
					if !e.wants(f.tasks[id], events[i].State) {
						continue
					}
					key := reached{e.Name, eventID(id, events[i].Revision)}
					if before != nil {
						prior, ok := accepted[reached{e.Name, eventID(id, before.Revision)}]
						if now, came := first[key]; came && (!ok || now.Arrived < prior.Answered) {
							fail("revision %d of task %s arrived at %s before revision %d was accepted", events[i].Revision, id, e.Name, before.Revision)
						}
					}
					before = &events[i]
				}
			}
		}
	}},
	{17, "no endpoint gets what is not for it", func(f *Facts, fail func(string, ...any)) {
		events := f.eventsByID()
		endpoints := map[string]Endpoint{}
		for _, e := range f.Endpoints {
			endpoints[e.Name] = e
		}
		for _, r := range f.Receptions {
			event, known := events[r.EventID]
			if e, there := endpoints[r.Endpoint]; !known || !there || !e.wants(f.tasks[event.TaskID], event.State) {
				fail("%s got %s, which is not for it", r.Endpoint, r.EventID)
			}
		}
	}},
	{17, "every request is signed with the secret of its endpoint", func(f *Facts, fail func(string, ...any)) {
		for _, r := range f.Receptions {
			if r.Body != nil && !r.Signed {
				fail("%s got %s without a valid signature", r.Endpoint, r.EventID)
			}
		}
	}},
	{17, "a request shows the task at its revision", func(f *Facts, fail func(string, ...any)) {
		events := f.eventsByID()
		for _, r := range f.Receptions {
			event, known := events[r.EventID]
			if r.Body == nil || !known {
				continue
			}
			var body struct {
				Type string
				Data struct{ ID, State, Revision string }
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				fail("%s got %s with a body that can't be read: %v", r.Endpoint, r.EventID, err)
				continue
			}
			shown := fmt.Sprint(body.Type, " ", body.Data.ID, " ", body.Data.Revision, " ", body.Data.State)
			if want := fmt.Sprint("task.", strings.ToLower(event.State), " ", event.TaskID, " ", event.Revision, " TASK_STATE_", event.State); shown != want {
				fail("%s got %s with %q, want %q", r.Endpoint, r.EventID, shown, want)
			}
		}
	}},
	{17, "no redirect is followed", func(f *Facts, fail func(string, ...any)) {
		if f.Trapped > 0 {
			fail("%d connections reached the address to which redirects lead", f.Trapped)
		}
	}},
}

// reached is an event at an endpoint.
type reached struct{ endpoint, event string }

// firsts returns the first reception of each event at each endpoint that satisfies a condition.
func (f *Facts) firsts(is func(Reception) bool) map[reached]Reception {
	first := map[reached]Reception{}
	for _, r := range f.Receptions {
		key := reached{r.Endpoint, r.EventID}
		if old, there := first[key]; is(r) && (!there || r.Arrived < old.Arrived) {
			first[key] = r
		}
	}
	return first
}

// eventsByID returns the events by the ids that endpoints see.
func (f *Facts) eventsByID() map[string]Event {
	events := make(map[string]Event, len(f.Events))
	for _, e := range f.Events {
		events[eventID(e.TaskID, e.Revision)] = e
	}
	return events
}
