package task_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
)

// life is a task that failed at kie, was retried, moved on to luma and succeeded there.
func life() task.Task {
	return task.Task{
		ID: "t", State: task.Succeeded, Revision: 12, Route: []string{"kie", "luma"}, Provider: "luma", Result: "a3", UpdateTime: at(12),
		Outputs: []task.Output{{Key: "outputs/t/3-0"}},
		Attempts: []task.Attempt{
			{ID: "a1", Number: 1, Provider: "kie", Account: "kie", State: task.AttemptRunning, Sent: true, ProviderTaskID: "k1", CreateTime: at(2)},
			{ID: "a2", Number: 2, Provider: "kie", Account: "kie", State: task.AttemptRefused, Sent: true, Message: "no", Blame: task.BlameTask, CreateTime: at(6)},
			{ID: "a3", Number: 3, Provider: "luma", Account: "luma", State: task.AttemptSucceeded, Sent: true, Saved: true, ProviderTaskID: "l3", Cost: task.Cost{Amount: "4", Unit: "credits"}, CreateTime: at(8)},
		},
	}
}

func at(minute int) time.Time { return time.Date(2026, 11, 30, 12, minute, 0, 0, time.UTC) }

func TestAt_ShowsTheTaskAsItWas(t *testing.T) {
	t.Parallel()
	lost := &task.Failure{Reason: task.OutcomeUnknown, Message: "no trace of it", Payment: task.PaymentUnknown}
	for _, tt := range []struct {
		name     string
		event    task.Event
		attempts int

		provider string
		result   task.AttemptID
		outputs  int
		newest   task.Attempt
	}{
		{"submitted", task.Event{Revision: 1, State: task.Queued}, 0, "kie", "", 0, task.Attempt{}},
		{
			"admitted",
			task.Event{Revision: 2, State: task.Submitting, Attempt: 1},
			1, "kie", "", 0,
			task.Attempt{ID: "a1", Number: 1, Provider: "kie", Account: "kie", State: task.AttemptSubmitting, CreateTime: at(2)},
		},
		{
			"running",
			task.Event{Revision: 3, State: task.Running, Attempt: 1},
			1, "kie", "", 0,
			task.Attempt{ID: "a1", Number: 1, Provider: "kie", Account: "kie", State: task.AttemptRunning, Sent: true, ProviderTaskID: "k1", CreateTime: at(2)},
		},
		{ // A retry has reopened it since.
			"lost",
			task.Event{Revision: 4, State: task.Failed, Attempt: 1, Failure: lost},
			1, "kie", "", 0,
			task.Attempt{ID: "a1", Number: 1, Provider: "kie", Account: "kie", State: task.AttemptLost, Sent: true, Message: "no trace of it", ProviderTaskID: "k1", CreateTime: at(2)},
		},
		{
			"retried",
			task.Event{Revision: 5, State: task.Queued},
			1, "kie", "", 0,
			life().Attempts[0],
		},
		{
			"moved on",
			task.Event{Revision: 7, State: task.Queued, Attempt: 2},
			2, "luma", "", 0,
			life().Attempts[1],
		},
		{
			"saving",
			task.Event{Revision: 11, State: task.Saving, Attempt: 3},
			3, "luma", "a3", 0,
			task.Attempt{ID: "a3", Number: 3, Provider: "luma", Account: "luma", State: task.AttemptSucceeded, Sent: true, ProviderTaskID: "l3", Cost: task.Cost{Amount: "4", Unit: "credits"}, CreateTime: at(8)},
		},
		{"succeeded", task.Event{Revision: 12, State: task.Succeeded, Attempt: 3}, 3, "luma", "a3", 1, life().Attempts[2]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := life()
			tt.event.CreateTime = at(int(tt.event.Revision))
			got := now.At(tt.event, tt.attempts)
			if got.State != tt.event.State || got.Revision != tt.event.Revision || got.Failure != tt.event.Failure || !got.UpdateTime.Equal(tt.event.CreateTime) {
				t.Errorf("state %s, revision %d, failure %v, update time %v", got.State, got.Revision, got.Failure, got.UpdateTime)
			}
			if got.Provider != tt.provider || got.Result != tt.result || len(got.Outputs) != tt.outputs || len(got.Attempts) != tt.attempts {
				t.Errorf("provider %s, result %q, %d outputs, %d attempts; want %s, %q, %d, %d",
					got.Provider, got.Result, len(got.Outputs), len(got.Attempts), tt.provider, tt.result, tt.outputs, tt.attempts)
			}
			if a := got.Attempt(); a != nil {
				if diff := cmp.Diff(tt.newest, *a); diff != "" {
					t.Errorf("newest attempt (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(life(), now); diff != "" {
				t.Errorf("At changed the task (-want +got):\n%s", diff)
			}
		})
	}
}

// An attempt that the provider never accepted was not RUNNING when its task was.
func TestAt_AnAttemptWithoutAVerdictWasUnconfirmed(t *testing.T) {
	t.Parallel()
	now := life()
	now.Attempts[0].State, now.Attempts[0].ProviderTaskID = task.AttemptLost, ""
	then := now.At(task.Event{Revision: 3, State: task.Running, Attempt: 1}, 1)
	if a := then.Attempt(); a.State != task.AttemptUnconfirmed {
		t.Errorf("the attempt is %s", a.State)
	}
}
