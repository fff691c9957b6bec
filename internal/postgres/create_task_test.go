package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
)

func TestCreateTask_KeepsEveryField(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	tests := map[string]task.Spec{
		"all": {
			Prompt: "Schnee, \"quoted\" and ❄", SourceURI: "https://example.com/a.mp4?x=1&y=2", Watermark: "mark", Provider: "kie",
			Strength: "flex_1", Model: "ray-2", FirstFrameURI: "https://example.com/a.png", Fallbacks: []string{"luma", "luma-agents"},
			Priority: -7, Labels: map[string]string{"team": "films", "": "empty key"},
			Deadline: 90*time.Minute + 250*time.Millisecond + time.Microsecond, MaxAttempts: 3,
		},
		"uploaded source": {
			SourceID: "0190b0a8-5a0b-7c1e-8f00-000000000001", Provider: "kie", Deadline: time.Second, MaxAttempts: 1,
		},
		"least":   {Provider: "kie", Deadline: time.Second, MaxAttempts: 1},
		"longest": {Provider: "kie", Deadline: 365*24*time.Hour + time.Microsecond, MaxAttempts: 100},
	}
	for name, spec := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			created := create(t, stores, "films", spec)
			if got, want := created.DeadlineTime, created.CreateTime.Add(spec.Deadline); !got.Equal(want) {
				t.Errorf("deadline time = %s, want %s", got, want)
			}
			got, err := stores.Tasks.Task(t.Context(), "films", created.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got.Spec.Labels == nil {
				t.Error("labels = nil, want an empty map")
			}
			created.Spec.Labels = got.Spec.Labels
			if len(spec.Labels) > 0 {
				created.Spec.Labels = spec.Labels
			}
			if diff := cmp.Diff(created, got); diff != "" {
				t.Errorf("the stored task (-created +read):\n%s", diff)
			}
		})
	}
}

func TestCreateTask_ReturnsTheTaskOfAUsedRequestID(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	first := submit(t.Context(), stores, "films", "r1", plain())
	if first.Err != nil || !first.New {
		t.Fatalf("the first submission = %+v", first)
	}
	if second := submit(t.Context(), stores, "films", "r1", plain()); second.Err != nil || second.New || second.Task.ID != first.Task.ID {
		t.Errorf("the second submission = %+v, want task %s, not new", second, first.Task.ID)
	}
	if other := submit(t.Context(), stores, "shorts", "r1", plain()); other.Err != nil || !other.New || other.Task.ID == first.Task.ID {
		t.Errorf("the submission of another tenant = %+v, want a new task", other)
	}
	if n := count(t, pool, "SELECT count(*) FROM task_event"); n != 2 {
		t.Errorf("%d events, want one for each of the two tasks", n)
	}
}

func TestCreateTask_KeepsTheTraceContext(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	for name, parent := range map[string]string{
		"sampled":     "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"not sampled": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
		"none":        "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := begin("films", newID(), plain())
			begun.Task.TraceParent = parent
			if c := stores.Tasks.CreateTasks(t.Context(), []task.Decision{begun})[0]; c.Err != nil || c.Task.TraceParent != parent {
				t.Fatalf("created with %q: %v", c.Task.TraceParent, c.Err)
			}
			got, err := stores.Tasks.Task(t.Context(), "films", begun.Task.ID)
			if err != nil || got.TraceParent != parent {
				t.Errorf("read %q, %v, want %q", got.TraceParent, err, parent)
			}
			var null bool
			if err := pool.QueryRow(t.Context(), `SELECT trace_parent IS NULL FROM task WHERE id = $1`, begun.Task.ID).Scan(&null); err != nil || null != (parent == "") {
				t.Errorf("the column is NULL: %t, %v", null, err)
			}
		})
	}
}
