package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/statistics"
	"github.com/refract-video/refract/internal/task"
)

func TestSample_HasTheTasksOfAPeriod(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	create(t, stores, "shorts", plain())
	createAged(t, stores, pool, "films", plain(), 3*time.Hour)
	createAged(t, stores, pool, "films", plain(), time.Hour+time.Minute) // Within the margin of clocks, and too old.
	second := createAged(t, stores, pool, "films", plain(), time.Hour-time.Minute)
	ended := create(t, stores, "films", plain())
	attempt := admit(t, stores, ended.ID)
	apply(t, stores, ended.ID, task.Sending{Attempt: attempt})
	failed := apply(t, stores, ended.ID, task.GenerationFailed{Attempt: attempt, ProviderTaskID: "p1", Message: "no"})
	waits := create(t, stores, "films", plain())

	got, err := stores.Tasks.Sample(t.Context(), "films", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var ids []task.ID
	for _, counted := range got.Tasks {
		ids = append(ids, counted.ID)
	}
	if want := []task.ID{waits.ID, ended.ID, second.ID}; !slices.Equal(ids, want) || !got.Complete || got.To.Sub(got.From) != time.Hour {
		t.Errorf("the sample has %v, complete %t, from %s to %s; want %v of an hour", ids, got.Complete, got.From, got.To, want)
	}
	if f := got.Tasks[1]; f.State != task.Failed || f.Reason != failed.Failure.Reason || !f.UpdateTime.Equal(failed.UpdateTime) {
		t.Errorf("the task that failed is %+v", f)
	}
	var states []task.State
	for _, e := range got.Events {
		if e.Task != ended.ID {
			t.Errorf("the sample has an event of task %s, which has left no state", e.Task)
		}
		states = append(states, e.State)
	}
	if want := []task.State{task.Queued, task.Submitting, task.Failed}; !slices.Equal(states, want) {
		t.Errorf("the events have the states %v, want %v", states, want)
	}
	all, err := stores.Tasks.Sample(t.Context(), "", time.Hour)
	if err != nil || len(all.Tasks) != 4 {
		t.Errorf("of all tenants there are %d tasks, %v, want 4", len(all.Tasks), err)
	}
}

func TestSample_HasTheTasksThatWaitTheLongest(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	var want []task.ID
	for i := range 12 {
		created := create(t, stores, "films", plain())
		exec(t, pool, `
UPDATE task SET update_time = now() - make_interval(hours => $2), provider = $3, route = ARRAY[$3], not_before_time = CASE WHEN $2 % 3 = 0 THEN 'infinity'::timestamptz END
WHERE id = $1`, created.ID, i, []string{"kie", "luma"}[i%2])
		want = slices.Insert(want, 0, created.ID)
	}
	other := create(t, stores, "shorts", plain())
	exec(t, pool, "UPDATE task SET update_time = now() - interval '1 day' WHERE id = $1", other.ID)
	ended := create(t, stores, "films", plain())
	apply(t, stores, ended.ID, task.CancelRequested{})
	exec(t, pool, "UPDATE task SET update_time = now() - interval '1 day' WHERE id = $1", ended.ID)
	for tenant, want := range map[string][]task.ID{"films": want[:10], "": append([]task.ID{other.ID}, want[:9]...), "ads": nil} {
		sample, err := stores.Tasks.Sample(t.Context(), tenant, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var got []task.ID
		for _, w := range sample.Waiting {
			got = append(got, w.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("of tenant %q wait %v, want %v", tenant, got, want)
		}
	}
}

func TestSample_IsBounded(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	fillTenant(t, pool, "films", statistics.MaxTasks+1)
	// As new as tasks get.
	exec(t, pool, "UPDATE task SET id = ('ffffffff' || substr(id::text, 9))::uuid, revision = 2")
	exec(t, pool, `INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
		SELECT id, number, 'QUEUED', 0, '', tenant FROM task, generate_series(1, 2) AS number`)
	for _, tenant := range []string{"films", ""} {
		sample, err := stores.Tasks.Sample(t.Context(), tenant, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if len(sample.Tasks) != statistics.MaxTasks || sample.Complete || len(sample.Events) != 2*statistics.MaxTimed {
			t.Errorf("of tenant %q: %d tasks, complete %t, %d events", tenant, len(sample.Tasks), sample.Complete, len(sample.Events))
		}
	}
}
