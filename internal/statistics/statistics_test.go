package statistics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// after returns the time some minutes after noon.
func after(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func TestOf_CountsAPeriod(t *testing.T) {
	t.Parallel()
	s := Sample{From: noon, To: after(48), Complete: true, Tasks: []Task{
		{State: task.Queued, CreateTime: after(48), UpdateTime: after(48)}, // At the end of the period.
		{State: task.Succeeded, CreateTime: after(2), UpdateTime: after(47)},
		{State: task.Failed, Reason: task.OutputInvalid, CreateTime: after(1), UpdateTime: after(3)},
		{State: task.Failed, Reason: task.OutputUnavailable, CreateTime: after(1), UpdateTime: after(3)},
		{State: task.Failed, Reason: task.OutputUnavailable, CreateTime: after(1), UpdateTime: after(50)},
		{State: task.Canceled, CreateTime: after(0), UpdateTime: after(0)},
	}}
	got := Of(s)
	want := map[int]Interval{
		0: {Created: 1, Canceled: 1}, 1: {Created: 3}, 2: {Created: 1}, 3: {Failed: 2}, 47: {Created: 1, Succeeded: 1, Failed: 1},
	}
	if len(got.Intervals) != 48 {
		t.Fatalf("%d intervals, want 48", len(got.Intervals))
	}
	for i, interval := range got.Intervals {
		w := want[i]
		w.Start = after(i)
		if diff := cmp.Diff(w, interval); diff != "" {
			t.Errorf("interval %d (-want +got):\n%s", i, diff)
		}
	}
	states := []StateCount{{task.Queued, 1}, {task.Succeeded, 1}, {task.Failed, 3}, {task.Canceled, 1}}
	if diff := cmp.Diff(states, got.States); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	failures := []ReasonCount{{task.OutputUnavailable, 2}, {task.OutputInvalid, 1}}
	if diff := cmp.Diff(failures, got.Failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	if got.Tasks != 6 || !got.Complete || !got.From.Equal(noon) || !got.To.Equal(after(48)) {
		t.Errorf("%d tasks from %s to %s, complete %t", got.Tasks, got.From, got.To, got.Complete)
	}
}

func TestOf_BeginsWithTheOldestOfAnIncompleteSample(t *testing.T) {
	t.Parallel()
	got := Of(Sample{From: noon, To: after(48), Tasks: []Task{{CreateTime: after(30)}, {CreateTime: after(24)}}})
	if !got.From.Equal(after(24)) || got.Complete || !got.Intervals[0].Start.Equal(after(24)) || got.Intervals[0].Created != 1 {
		t.Errorf("the figures begin at %s, and their first interval is %+v", got.From, got.Intervals[0])
	}
}

func TestOf_APeriodWithoutLengthHasNoIntervals(t *testing.T) {
	t.Parallel()
	if got := Of(Sample{From: noon, To: noon, Tasks: []Task{{CreateTime: noon}}}); len(got.Intervals) > 0 || got.Tasks != 1 {
		t.Errorf("%d intervals with %d tasks, want none with one", len(got.Intervals), got.Tasks)
	}
}

func TestStateTimes_AreThoseOfStatesThatWereLeft(t *testing.T) {
	t.Parallel()
	events := []Event{
		{"a", task.Queued, after(0)},
		{"a", task.Submitting, after(1)},
		{"a", task.Submitting, after(2)}, // Another event in the same state.
		{"a", task.Failed, after(4)},
		{"a", task.Queued, after(10)}, // A retry.
		{"a", task.Running, after(12)},
		{"b", task.Queued, after(0)},
		{"b", task.Canceled, after(9)},
		{"c", task.Queued, after(5)},
		{"c", task.Running, after(4)}, // The clock was set.
		{"d", task.Queued, after(5)},
	}
	want := []StateTime{
		{task.Queued, 3, 3 * time.Minute, 9 * time.Minute},
		{task.Submitting, 1, 3 * time.Minute, 3 * time.Minute},
		{task.Failed, 1, 6 * time.Minute, 6 * time.Minute},
	}
	if diff := cmp.Diff(want, stateTimes(events)); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
	if got := stateTimes(nil); got != nil {
		t.Errorf("without events there are %v", got)
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var d []time.Duration
	for n := 1; n <= 100; n++ {
		d = append(d, time.Duration(n))
	}
	for _, tc := range []struct {
		of    []time.Duration
		share float64
		want  time.Duration
	}{{d, 0.5, 50}, {d, 0.95, 95}, {d[:1], 0.5, 1}, {d[:1], 0.95, 1}, {d[:2], 0.5, 1}, {d[:3], 0.5, 2}, {d[:20], 0.95, 19}} {
		if got := percentile(tc.of, tc.share); got != tc.want {
			t.Errorf("percentile(1 to %d, %v) = %d, want %d", len(tc.of), tc.share, got, tc.want)
		}
	}
}
