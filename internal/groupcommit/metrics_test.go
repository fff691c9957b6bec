package groupcommit_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/metrictest"
)

// TestMeasured_CountsSetsAndItems commits a set of three that fails as a whole, and is then halved.
func TestMeasured_CountsSetsAndItems(t *testing.T) {
	t.Parallel()
	metrics := metrictest.New(t)
	m, err := groupcommit.NewMetrics(metrics)
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("too many")
	commit := groupcommit.Measured(m, "tasks", func(_ context.Context, items []int, _ []groupcommit.Result[int]) error {
		if len(items) > 2 {
			return failed
		}
		return nil
	})
	g := groupcommit.New(commit, groupcommit.Limits{Set: 3, Waiting: 3, AtOnce: 1})
	for i, r := range g.DoAll(t.Context(), []int{1, 2, 3}) {
		if r.Err != nil {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	if err := g.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{`refract_group_commit_items_count{group="tasks"}`: 3, `refract_group_commit_items_sum{group="tasks"}`: 6}
	if diff := cmp.Diff(want, metrics.Values(t, "refract_group_commit_items")); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
	if got := metrics.Values(t, "refract_group_commit_seconds_count")[`refract_group_commit_seconds_count{group="tasks"}`]; got != 3 {
		t.Errorf("%v durations were measured, want 3", got)
	}
}
