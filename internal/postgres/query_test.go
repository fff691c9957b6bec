package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

func TestListTasks_PagesShowEveryTaskOnceWhileOthersAreInserted(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	var want []task.ID // Newest first.
	for range 23 {
		want = slices.Insert(want, 0, create(t, stores, "films", plain()).ID)
		create(t, stores, "shorts", plain())
	}
	ctx, stop := context.WithCancel(t.Context())
	inserted := make(chan error, 1)
	go func() {
		for {
			err := submit(ctx, stores, "films", newID(), plain()).Err
			if ctx.Err() != nil {
				err = nil // The listing has ended.
			} else if err == nil {
				continue
			}
			inserted <- err
			return
		}
	}()
	var got []task.ID
	filter := task.Filter{Tenant: "films", Limit: 5}
	for {
		page, err := stores.Tasks.ListTasks(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Tasks) == 0 {
			break
		}
		for _, listed := range page.Tasks {
			got = append(got, listed.ID)
		}
		filter.Before = got[len(got)-1]
	}
	stop()
	if err := <-inserted; err != nil {
		t.Fatal(err)
	}
	got = slices.DeleteFunc(got, func(id task.ID) bool { return id > want[0] }) // Inserted since.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listed tasks (-want +got):\n%s", diff)
	}
}

func TestListTasks_Filters(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	ids := make(map[task.ID]string)
	add := func(name string, labels map[string]string, age time.Duration, in ...task.Input) {
		spec := plain()
		spec.Labels = labels
		created := createAged(t, stores, pool, "films", spec, age)
		for _, i := range in {
			apply(t, stores, created.ID, i)
		}
		ids[created.ID] = name
	}
	add("old", map[string]string{"team": "a"}, 3*time.Hour)
	add("canceled", map[string]string{"team": "a", "cut": "1"}, 2*time.Hour, task.CancelRequested{})
	add("overdue", map[string]string{"team": "b"}, time.Hour, task.DeadlinePassed{})
	add("new", nil, 0)
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	tests := map[string]struct {
		filter task.Filter
		want   []string
	}{
		"none":             {task.Filter{}, []string{"new", "overdue", "canceled", "old"}},
		"state":            {task.Filter{States: []task.State{task.Queued}}, []string{"new", "old"}},
		"states":           {task.Filter{States: []task.State{task.Failed, task.Canceled}}, []string{"overdue", "canceled"}},
		"label":            {task.Filter{Labels: map[string]string{"team": "a"}}, []string{"canceled", "old"}},
		"labels":           {task.Filter{Labels: map[string]string{"team": "a", "cut": "1"}}, []string{"canceled"}},
		"from":             {task.Filter{FromTime: ago(90 * time.Minute)}, []string{"new", "overdue"}},
		"to":               {task.Filter{ToTime: ago(90 * time.Minute)}, []string{"canceled", "old"}},
		"between":          {task.Filter{FromTime: ago(150 * time.Minute), ToTime: ago(30 * time.Minute)}, []string{"overdue", "canceled"}},
		"state and labels": {task.Filter{States: []task.State{task.Queued}, Labels: map[string]string{"team": "a"}}, []string{"old"}},
		"nothing matches":  {task.Filter{Labels: map[string]string{"team": "c"}}, nil},
		"another tenant":   {task.Filter{Tenant: "shorts"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.filter.Tenant == "" {
				test.filter.Tenant = "films"
			}
			test.filter.Limit = 10
			page, err := stores.Tasks.ListTasks(t.Context(), test.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, listed := range page.Tasks {
				got = append(got, ids[listed.ID])
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("listed tasks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListTasks_ShowsAttemptsAndOutputsOfEachTask(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	var want []task.Task
	for i := range 3 {
		created := create(t, stores, "films", plain())
		id := admit(t, stores, created.ID)
		apply(t, stores, created.ID, task.Sending{Attempt: id})
		apply(t, stores, created.ID, task.ResultReady{Attempt: id, ProviderTaskID: fmt.Sprint("p", i)})
		saved := apply(t, stores, created.ID, task.Saved{Attempt: id, Outputs: []task.Output{
			{Index: 0, Key: fmt.Sprint(i, "-0"), ContentType: "video/mp4", SizeBytes: 1, SHA256: sum(byte('a' + i))},
			{Index: 1, Key: fmt.Sprint(i, "-1"), ContentType: "video/mp4", SizeBytes: 2, SHA256: sum(byte('k' + i))},
		}})
		want = slices.Insert(want, 0, saved)
	}
	got, err := stores.Tasks.ListTasks(t.Context(), task.Filter{Tenant: "films", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Tasks, sameTask); diff != "" {
		t.Errorf("listed tasks (-want +got):\n%s", diff)
	}
}

func TestTaskEvents_AreTheHistoryInPages(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	created := create(t, stores, "films", plain())
	id := admit(t, stores, created.ID)
	apply(t, stores, created.ID, task.Sending{Attempt: id})
	failed := apply(t, stores, created.ID, task.GenerationFailed{Attempt: id, ProviderTaskID: "p1", Message: "no"})
	var got []task.Event
	for {
		page, err := stores.Log.TaskEvents(t.Context(), created.ID, int64(len(got)), 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	want := []task.Event{
		{Revision: 1, State: task.Queued, Message: "submitted"},
		{Revision: 2, State: task.Submitting, Attempt: 1, Message: "attempt 1 admitted to kie"},
		{Revision: 3, State: task.Failed, Attempt: 1, Message: "kie reports that attempt 1 failed: no", Failure: failed.Failure},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(task.Event{}, "CreateTime")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !got[0].CreateTime.Equal(created.CreateTime) || !got[2].CreateTime.Equal(failed.UpdateTime) {
		t.Error("events and their task have different times")
	}
	stranger := task.ID(newID())
	revisions, err := stores.Log.Revisions(t.Context(), []task.ID{created.ID, stranger})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[task.ID]int64{created.ID: 3}, revisions); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
	if events, err := stores.Log.TaskEvents(t.Context(), stranger, 0, 2); len(events) != 0 || err != nil {
		t.Errorf("events of an unknown task = %v, %v, want none", events, err)
	}
	if revisions, err := stores.Log.Revisions(t.Context(), nil); len(revisions) != 0 || err != nil {
		t.Errorf("revisions of no tasks = %v, %v, want none", revisions, err)
	}
}

func TestStore_FailsWhenTheDatabaseIsGone(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	pool.Close()
	if err := dbpool.Ping(t.Context(), pool); err == nil {
		t.Error("Ping = nil, want an error")
	}
	if _, err := stores.Tasks.Task(t.Context(), "films", task.ID(newID())); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Task = %v, want an error", err)
	}
}

// TestListTasks_EndsWhereThePromptsAreLong fails without the condition on bytes_before.
func TestListTasks_EndsWhereThePromptsAreLong(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	spec := plain()
	spec.Prompt = "ten bytes "
	var newest []task.ID
	for range 5 {
		newest = slices.Insert(newest, 0, create(t, stores, "films", spec).ID)
	}
	for limit, want := range map[int64]int{0: 4, 1: 1, 10: 1, 11: 2, 30: 3, 31: 4, 100: 4} {
		page, err := stores.Tasks.ListTasks(t.Context(), task.Filter{Tenant: "films", Limit: 4, LimitBytes: limit})
		if err != nil {
			t.Fatal(err)
		}
		var got []task.ID
		for _, listed := range page.Tasks {
			got = append(got, listed.ID)
		}
		if !slices.Equal(got, newest[:want]) {
			t.Errorf("with %d bytes it lists %v, want the first %d of %v", limit, got, want, newest)
		}
	}
}
