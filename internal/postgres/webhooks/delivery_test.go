package webhooks_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

func TestDeliveries_Filters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one, two := f.endpoint("films", nil), f.endpoint("films", nil)
	foreign := f.endpoint("shorts", nil)
	f.create("shorts", task.Spec{})
	var tasks []task.ID
	names := map[notify.EventID]string{}
	for _, name := range []string{"a", "b", "c"} {
		id := f.create("films", task.Spec{}).ID
		f.cancel(id)
		tasks = append(tasks, id)
		names[notify.EventID{Task: id, Revision: 1}], names[notify.EventID{Task: id, Revision: 2}] = name+"1", name+"2"
	}
	// Two events of one moment, and two states.
	postgrestest.Exec(t, f.pool, `UPDATE webhook_delivery SET event_time = '2026-01-01' WHERE task_id = $1`, tasks[0])
	postgrestest.Exec(t, f.pool, `UPDATE webhook_delivery SET state = 'FAILED', next_attempt_time = NULL WHERE revision = 1 AND endpoint_id = $1`, one.ID)
	failed, pending := []notify.DeliveryState{notify.DeliveryFailed}, []notify.DeliveryState{notify.DeliveryPending}
	for name, test := range map[string]struct {
		filter notify.DeliveryFilter
		want   []string
	}{
		"an endpoint":               {notify.DeliveryFilter{Tenant: "films", Endpoint: one.ID}, []string{"c2", "c1", "b2", "b1", "a2", "a1"}},
		"failed of an endpoint":     {notify.DeliveryFilter{Tenant: "films", Endpoint: one.ID, States: failed}, []string{"c1", "b1", "a1"}},
		"pending of an endpoint":    {notify.DeliveryFilter{Tenant: "films", Endpoint: one.ID, States: pending}, []string{"c2", "b2", "a2"}},
		"a task":                    {notify.DeliveryFilter{Tenant: "films", Task: tasks[1]}, []string{"b2", "b2", "b1", "b1"}},
		"a task of one moment":      {notify.DeliveryFilter{Tenant: "films", Task: tasks[0]}, []string{"a2", "a2", "a1", "a1"}},
		"failed of a task":          {notify.DeliveryFilter{Tenant: "films", Task: tasks[1], States: failed}, []string{"b1"}},
		"a task and an endpoint":    {notify.DeliveryFilter{Tenant: "films", Task: tasks[1], Endpoint: two.ID}, []string{"b2", "b1"}},
		"another tenant's endpoint": {notify.DeliveryFilter{Tenant: "films", Endpoint: foreign.ID}, nil},
		"another tenant's task":     {notify.DeliveryFilter{Tenant: "shorts", Task: tasks[0]}, nil},
		"an unknown endpoint":       {notify.DeliveryFilter{Tenant: "films", Endpoint: notify.EndpointID(newID())}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			test.filter.Limit = 2 // So that pages meet.
			for range 10 {
				page, err := f.Deliveries(t.Context(), test.filter)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				for _, d := range page {
					got = append(got, names[d.Event])
				}
				last := page[len(page)-1]
				test.filter.Before = &notify.DeliveryPlace{EventTime: last.EventTime, Event: last.Event, Endpoint: last.Endpoint}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("deliveries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRedeliver_BeginsTheScheduleAgain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	f.create("films", task.Spec{})
	claimed := f.claim(1, e)
	event := claimed[0].Event
	f.finish(claimed, gaveUp)
	for name, call := range map[string]error{
		"of another tenant": f.Redeliver(t.Context(), "shorts", e.ID, event, false),
		"unknown endpoint":  f.Redeliver(t.Context(), "films", notify.EndpointID(newID()), event, false),
		"unknown event":     f.Redeliver(t.Context(), "films", e.ID, notify.EventID{Task: event.Task, Revision: 7}, false),
	} {
		if !errors.Is(call, notify.ErrDeliveryNotFound) {
			t.Errorf("%s = %v, want ErrDeliveryNotFound", name, call)
		}
	}
	if err := f.Redeliver(t.Context(), "films", e.ID, event, true); err != nil {
		t.Errorf("dry run = %v", err)
	}
	if got := f.claim(1, e); len(got) != 0 {
		t.Fatal("a dry run began a delivery again")
	}
	wakes := len(f.wakes)
	if err := f.Redeliver(t.Context(), "films", e.ID, event, false); err != nil {
		t.Fatal(err)
	}
	if len(f.wakes) != wakes+1 {
		t.Error("no sender was woken")
	}
	again := f.claim(1, e)
	if len(again) != 1 || again[0].Attempts != 0 {
		t.Fatalf("claimed %+v, want the event without attempts", again)
	}
	// While it is being sent, it is begun again: that request no longer counts.
	if err := f.Redeliver(t.Context(), "films", e.ID, event, false); err != nil {
		t.Fatal(err)
	}
	f.finish(again, gaveUp)
	if got := f.claim(1, e); len(got) != 1 {
		t.Errorf("%d are claimed, want the one that was begun again", len(got))
	}
}

func TestRedeliverFailed_TakesTheFailedOnesSinceATime(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e, other := f.endpoint("films", nil), f.endpoint("films", nil)
	for range 4 {
		f.create("films", task.Spec{})
	}
	f.finish(f.claim(4, e, other), gaveUp)
	f.create("films", task.Spec{})
	f.finish(f.claim(1, e), received)
	since := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	postgrestest.Exec(t, f.pool, `UPDATE webhook_delivery SET event_time = '2026-01-01' WHERE task_id = (SELECT id FROM task ORDER BY id LIMIT 1)`)
	for _, dryRun := range []bool{true, false} {
		n, more, err := f.RedeliverFailed(t.Context(), "films", e.ID, since, dryRun)
		if err != nil || n != 3 || more {
			t.Errorf("RedeliverFailed(dry run %t) = %d, %t, %v, want 3 and no more", dryRun, n, more, err)
		}
		want := map[bool]int{true: 0, false: 3}[dryRun]
		if got := f.claim(10, e); len(got) != want {
			t.Errorf("%d are claimed after dry run %t, want %d", len(got), dryRun, want)
		}
	}
	if n, _, err := f.RedeliverFailed(t.Context(), "films", e.ID, time.Time{}, false); err != nil || n != 1 {
		t.Errorf("RedeliverFailed of all = %d, %v, want the one before", n, err)
	}
}

func TestRedeliverFailed_IsBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	postgrestest.Exec(t, f.pool, postgrestest.PopulateTasks, notify.MaxRedeliveries+5)
	postgrestest.Exec(t, f.pool, `INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state, state, next_attempt_time, event_time)
		SELECT id, 1, $1, 'SUCCEEDED', 'FAILED', NULL, create_time FROM task`, e.ID)
	for _, want := range []struct {
		n    int
		more bool
	}{{notify.MaxRedeliveries, true}, {5, false}, {0, false}} {
		n, more, err := f.RedeliverFailed(t.Context(), "films", e.ID, time.Time{}, false)
		if err != nil || n != want.n || more != want.more {
			t.Fatalf("RedeliverFailed = %d, %t, %v, want %+v", n, more, err, want)
		}
	}
}

func TestRedeliverTask_SendsTheLastEventToAllThatMatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	terminal := func(e *notify.Endpoint) { e.States = notify.Terminal }
	received1 := f.endpoint("films", terminal)
	created := f.create("films", task.Spec{})
	var stateErr *notify.TaskStateError
	if _, err := f.RedeliverTask(t.Context(), "films", created.ID, false); !errors.As(err, &stateErr) || stateErr.State != task.Queued {
		t.Errorf("of a queued task = %v, want a TaskStateError", err)
	}
	f.cancel(created.ID)
	f.finish(f.claim(1, received1), received)
	late := f.endpoint("films", terminal) // It did not exist when the task ended.
	f.endpoint("films", func(e *notify.Endpoint) { e.States = []task.State{task.Succeeded} })
	f.endpoint("films", func(e *notify.Endpoint) { e.Labels = map[string]string{"team": "ads"} })
	f.endpoint("shorts", terminal)
	f.change(f.endpoint("films", terminal), func(e *notify.Endpoint) { e.Disabled = notify.DisabledByCaller })
	for _, dryRun := range []bool{true, false} {
		if n, err := f.RedeliverTask(t.Context(), "films", created.ID, dryRun); err != nil || n != 2 {
			t.Errorf("RedeliverTask(dry run %t) = %d, %v, want 2", dryRun, n, err)
		}
		var got []notify.EndpointID
		for _, c := range f.claim(10, received1, late) {
			got = append(got, c.Endpoint)
			if c.Event.Revision != 2 || c.Attempts != 0 || !c.EventTime.Equal(c.TaskEvent.CreateTime) {
				t.Errorf("claimed %+v, want the last event", c.Delivery)
			}
		}
		slices.Sort(got)
		want := map[bool][]notify.EndpointID{true: nil, false: {received1.ID, late.ID}}[dryRun]
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("endpoints %v after dry run %t, want %v", got, dryRun, want)
		}
	}
	for tenant, id := range map[string]task.ID{"shorts": created.ID, "films": task.ID(uuid.NewString())} {
		if _, err := f.RedeliverTask(t.Context(), tenant, id, false); !errors.Is(err, lifecycle.ErrTaskNotFound) {
			t.Errorf("of an unknown task = %v, want ErrTaskNotFound", err)
		}
	}
}
