package statistics

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// The bounds of a sample.
const (
	MaxTasks   = 10_000 // Tasks that are counted.
	MaxTimed   = 2_000  // Tasks whose time in each state is known: the newest that have left a state.
	MaxWaiting = 10     // Tasks that wait.
)

// maxIntervals is the number of intervals of a period.
const maxIntervals = 48

// Task is what the figures are computed from.
type Task struct {
	ID         task.ID
	State      task.State
	Reason     task.Reason // Of failure.
	CreateTime time.Time
	UpdateTime time.Time // When the task entered its state.
	Revision   int64
}

// Event is an event of a task.
type Event struct {
	Task  task.ID
	State task.State // That the task is in since then.
	Time  time.Time
}

// Waiting is a task that is queued.
type Waiting struct {
	ID       task.ID
	Tenant   string
	Provider string
	Model    string
	Since    time.Time
}

// Sample is what is read about a period.
type Sample struct {
	From, To time.Time
	Complete bool      // Whether Tasks has all tasks of the period.
	Tasks    []Task    // The newest of the period, newest first.
	Events   []Event   // Of tasks that have left a state: those of a task together, oldest first.
	Waiting  []Waiting // Longest first.
}

// Interval is what happened to tasks from a time to the start of the next interval.
type Interval struct {
	Start                                time.Time
	Created, Succeeded, Failed, Canceled int
}

// StateCount is a number of tasks in a state.
type StateCount struct {
	State task.State
	Tasks int
}

// StateTime is how long tasks were in a state that they have left.
type StateTime struct {
	State                task.State
	Tasks                int
	Median, Percentile95 time.Duration
}

// ReasonCount is a number of tasks that failed for a reason.
type ReasonCount struct {
	Reason task.Reason
	Tasks  int
}

// Statistics are the figures about a period.
type Statistics struct {
	From, To   time.Time
	Complete   bool
	Tasks      int
	Intervals  []Interval   // Of equal length, oldest first.
	States     []StateCount // In the order of task.States.
	StateTimes []StateTime  // Likewise.
	Failures   []ReasonCount
	Waiting    []Waiting
}

// Of computes the figures of a sample.
func Of(s Sample) Statistics {
	f := Statistics{From: s.From, To: s.To, Complete: s.Complete, Tasks: len(s.Tasks), Waiting: s.Waiting}
	if n := len(s.Tasks); n > 0 && !s.Complete {
		f.From = s.Tasks[n-1].CreateTime
	}
	f.Intervals = intervals(s.Tasks, f.From, f.To)
	f.States = states(s.Tasks)
	f.StateTimes = stateTimes(s.Events)
	f.Failures = failures(s.Tasks)
	return f
}

// intervals counts what happened in each interval of a period. A time outside the period counts as its nearest end, since the clock
// of the database may have been set.
func intervals(tasks []Task, from, to time.Time) []Interval {
	length := to.Sub(from) / maxIntervals
	if length <= 0 {
		return nil
	}
	list := make([]Interval, maxIntervals)
	for i := range list {
		list[i].Start = from.Add(time.Duration(i) * length)
	}
	at := func(t time.Time) *Interval {
		return &list[max(0, min(int(t.Sub(from)/length), maxIntervals-1))]
	}
	for _, t := range tasks {
		at(t.CreateTime).Created++
		switch ended := at(t.UpdateTime); t.State {
		case task.Succeeded:
			ended.Succeeded++
		case task.Failed:
			ended.Failed++
		case task.Canceled:
			ended.Canceled++
		default:
		}
	}
	return list
}

func states(tasks []Task) (list []StateCount) {
	counts := map[task.State]int{}
	for _, t := range tasks {
		counts[t.State]++
	}
	for _, state := range task.States {
		if n := counts[state]; n > 0 {
			list = append(list, StateCount{State: state, Tasks: n})
		}
	}
	return list
}

// stateTimes returns how long tasks were in the states that they have left. A task that was in a state several times, because it was
// retried, counts once, with the sum.
func stateTimes(events []Event) (list []StateTime) {
	times := map[task.State][]time.Duration{}
	for len(events) > 0 {
		n := slices.IndexFunc(events, func(e Event) bool { return e.Task != events[0].Task })
		if n < 0 {
			n = len(events)
		}
		for state, d := range timesOf(events[:n]) {
			times[state] = append(times[state], d)
		}
		events = events[n:]
	}
	for _, state := range task.States {
		if d := times[state]; len(d) > 0 {
			slices.Sort(d)
			list = append(list, StateTime{State: state, Tasks: len(d), Median: percentile(d, 0.5), Percentile95: percentile(d, 0.95)})
		}
	}
	return list
}

// timesOf returns how long a task was in each state that it has left, by its events.
func timesOf(events []Event) map[task.State]time.Duration {
	times := map[task.State]time.Duration{}
	since := events[0]
	for _, e := range events[1:] {
		if e.State != since.State {
			times[since.State] += max(e.Time.Sub(since.Time), 0)
			since = e
		}
	}
	return times
}

// percentile returns the least of sorted durations that a share of them does not exceed.
func percentile(sorted []time.Duration, share float64) time.Duration {
	return sorted[max(int(math.Ceil(share*float64(len(sorted)))), 1)-1]
}

func failures(tasks []Task) (list []ReasonCount) {
	counts := map[task.Reason]int{}
	for _, t := range tasks {
		if t.State == task.Failed {
			counts[t.Reason]++
		}
	}
	for reason, n := range counts {
		list = append(list, ReasonCount{Reason: reason, Tasks: n})
	}
	slices.SortFunc(list, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Tasks, a.Tasks), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}
