package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
)

// TestTypicalDurations_AreTheMediansOfEachModel settles attempts of several models.
func TestTypicalDurations_AreTheMediansOfEachModel(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	settled := 0
	settle := func(model string, took time.Duration) {
		t.Helper()
		settled++
		created := create(t, stores, "films", plain())
		attempt := admit(t, stores, created.ID)
		apply(t, stores, created.ID, task.Sending{Attempt: attempt})
		apply(t, stores, created.ID, task.Accepted{Attempt: attempt, ProviderTaskID: fmt.Sprintf("p-%d", settled)})
		apply(t, stores, created.ID, task.ResultReady{Attempt: attempt, ProviderTaskID: fmt.Sprintf("p-%d", settled)})
		_, err := pool.Exec(t.Context(), `
			UPDATE attempt SET remote_model = $2, settle_time = now() + $3 * interval '1 second',
				create_time = now() + ($3 - $4::float8) * interval '1 second'
			WHERE id = $1`, attempt, model, float64(settled), took.Seconds())
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 9 {
		settle("rare", time.Minute)
		settle("", time.Minute) // Of an earlier release.
	}
	settle("", time.Minute)
	for i := range 11 {
		settle("fast", time.Duration(i)*time.Second)
	}
	for range 50 {
		settle("changed", 2*time.Minute)
	}
	for range 50 { // Only these are recent.
		settle("changed", 7*time.Minute)
	}
	got, err := stores.Tasks.TypicalDurations(t.Context(), "kie")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]time.Duration{"fast": 5 * time.Second, "changed": 7 * time.Minute}, got); diff != "" {
		t.Errorf("durations (-want +got):\n%s", diff)
	}
	if got, err := stores.Tasks.TypicalDurations(t.Context(), "luma"); err != nil || len(got) != 0 {
		t.Errorf("an account without attempts has %v, %v", got, err)
	}
}
