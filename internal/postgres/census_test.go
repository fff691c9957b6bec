package postgres_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/fence"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/metrictest"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

var censusLimits = admission.AccountLimits{"kie": provider.Limits{Submissions: 20, Window: 10 * time.Second, InFlight: 100}}

// TestCensus_CountsWhatHasNotEnded has tasks in every state.
func TestCensus_CountsWhatHasNotEnded(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	for range 3 {
		create(t, stores, "films", plain())
	}
	hold(t, stores, create(t, stores, "films", plain()).ID, "kie") // Waits for its source.
	exec(t, pool, "UPDATE task SET not_before_time = now() + interval '1 minute' WHERE id = $1", create(t, stores, "films", plain()).ID)
	exec(t, pool, "UPDATE task SET not_before_time = 'infinity' WHERE id = $1", create(t, stores, "films", plain()).ID)
	admit(t, stores, create(t, stores, "films", plain()).ID)
	lost := create(t, stores, "films", plain())
	attempt := admit(t, stores, lost.ID)
	apply(t, stores, lost.ID, task.Sending{Attempt: attempt})
	apply(t, stores, lost.ID, task.Ambiguous{Attempt: attempt})
	if err := stores.Tasks.ChangeTogether(t.Context(), []task.AttemptID{running(t, stores), running(t, stores)}, func(now task.Task) (lifecycle.Change, error) {
		d, err := now.Apply(task.ResultReady{Attempt: now.Attempt().ID, ProviderTaskID: providerTask(now.Attempt().ID)})
		return lifecycle.Change{Decision: d}, err
	}); err != nil {
		t.Fatal(err)
	}
	apply(t, stores, create(t, stores, "films", plain()).ID, task.CancelRequested{})
	exec(t, pool, "UPDATE task SET update_time = now() - interval '1 hour' WHERE id = $1", lost.ID)

	got, err := stores.Tasks.Census(t.Context(), censusLimits)
	if err != nil {
		t.Fatal(err)
	}
	want := []admission.TaskGroup{
		{Provider: "kie", State: task.Queued, Tasks: 3},
		{Provider: "kie", State: task.Queued, Cause: task.WaitOffering, Tasks: 1},
		{Provider: "kie", State: task.Queued, Cause: task.WaitDelay, Tasks: 1},
		{Provider: "kie", State: task.Queued, Cause: task.WaitSource, Tasks: 1},
		{Provider: "kie", State: task.Running, Tasks: 1},
		{Provider: "kie", State: task.Saving, Tasks: 2},
		{Provider: "kie", State: task.Submitting, Tasks: 1},
	}
	slices.SortFunc(got.Groups, func(a, b admission.TaskGroup) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(a.Cause, b.Cause))
	})
	if diff := gocmp.Diff(want, got.Groups, cmpopts.IgnoreFields(admission.TaskGroup{}, "Oldest")); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	for _, g := range got.Groups {
		if old := g.Oldest >= time.Hour; old != (g.State == task.Running) {
			t.Errorf("the oldest task in %s has had no event for %v", g.State, g.Oldest)
		}
	}
	if len(got.Accounts) != 1 || got.Accounts[0].Provider != "kie" || got.Accounts[0].Unknown != 1 || got.Accounts[0].InFlight != 2 {
		t.Errorf("accounts %+v, want kie with two attempts in flight, one of them unconfirmed", got.Accounts)
	}
}

// TestCensus_SeesWhetherAdmissionIsClosed reads before and after an operator closes admission.
func TestCensus_SeesWhetherAdmissionIsClosed(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	if _, err := stores.Installation.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{false, true} {
		got, err := stores.Tasks.Census(t.Context(), censusLimits)
		if err != nil || got.Closed != want {
			t.Errorf("closed %t, %v, want %t", got.Closed, err, want)
		}
		if err := stores.Installation.CloseAdmission(t.Context(), fence.ByOperator, "maintenance"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStays_AreMeasuredByStateAfterTheCommit lets a task pass through its states, and another one fail to change.
func TestStays_AreMeasuredByStateAfterTheCommit(t *testing.T) {
	t.Parallel()
	metrics := metrictest.New(t)
	stays, err := lifecycle.NewStays(metrics)
	if err != nil {
		t.Fatal(err)
	}
	stores, pool := setupWith(t, postgres.Config{Stays: stays})
	created := create(t, stores, "films", plain())
	exec(t, pool, "UPDATE task SET update_time = update_time - interval '1 hour' WHERE id = $1", created.ID)
	attempt := admit(t, stores, created.ID)
	apply(t, stores, created.ID, task.Sending{Attempt: attempt}) // No event.
	apply(t, stores, created.ID, task.Accepted{Attempt: attempt, ProviderTaskID: "p1"})
	apply(t, stores, created.ID, task.CancelRequested{})
	apply(t, stores, created.ID, task.RetryRequested{Known: []string{"kie"}}) // It was CANCELED before, which does not count.
	const name = "refract_task_state_duration_seconds"
	got := metrics.Values(t, name+"_count")
	want := map[string]float64{}
	for _, state := range []task.State{task.Queued, task.Submitting, task.Running} {
		want[name+`_count{provider="kie",state="`+string(state)+`"}`] = 1
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("stays (-want +got):\n%s", diff)
	}
	for series, seconds := range metrics.Values(t, name+`_sum{provider="kie",state="QUEUED"`) {
		if seconds < 3600 || seconds > 7200 {
			t.Errorf("%s is %v, want an hour", series, seconds)
		}
	}
}
