package task_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
)

// TestRoute_MovesOnOnlyAfterDefiniteRefusals ends the first attempt of a task with two providers in every way, and
// checks where the task goes.
func TestRoute_MovesOnOnlyAfterDefiniteRefusals(t *testing.T) {
	t.Parallel()
	sent := inputs{admit(1), send(1)}
	type place struct {
		State    task.State
		Provider string
	}
	for _, tc := range []struct {
		name  string
		given inputs
		when  task.Input
		want  place
	}{
		{"the input is refused", sent, refuse(1), place{task.Queued, "luma"}},
		{"the rate is limited", sent, park(1), place{task.Queued, "kie"}},
		{"the outcome is unknown", sent, unanswered(1), place{task.Running, "kie"}},
		{"the generation failed", inputs{admit(1), send(1), accept(1)}, fail(1), place{task.Failed, "kie"}},
		{"the provider is blocked before anything was sent", nil, task.ProviderBlocked{}, place{task.Queued, "luma"}},
		{"the source can't be prepared", inputs{admit(1), park(1)}, task.Unprepared{Provider: "kie", Reason: task.InputTooLarge}, place{task.Queued, "luma"}},
		{"no provider can get the source", inputs{admit(1), park(1)}, task.Unprepared{Provider: "kie", Reason: task.InputUnreachable, Final: true}, place{task.Failed, "kie"}},
		{"it was for another provider", nil, task.Unprepared{Provider: "luma", Reason: task.InputTooLarge}, place{task.Queued, "kie"}},
		{"the next provider has no account", sent, task.Refused{Attempt: attemptID(1), Reason: task.InputRejected, Known: []string{"kie"}}, place{task.Failed, "kie"}},
		{"the last provider refuses, too", inputs{admit(1), send(1), refuse(1), admit(2), send(2)}, refuse(2), place{task.Failed, "luma"}},
		{"a retry begins with the first provider", inputs{admit(1), send(1), refuse(1), cancel}, retry, place{task.Queued, "kie"}},
		{"a retry begins with the first that has an account", inputs{cancel}, task.RetryRequested{Known: []string{"luma"}}, place{task.Queued, "luma"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(1, "luma")
			for _, in := range append(tc.given, tc.when) {
				if err := h.apply(in, nil); err != nil {
					t.Fatalf("%T: %v", in, err)
				}
			}
			if diff := cmp.Diff(tc.want, place{h.task.State, h.task.Provider}); diff != "" {
				t.Errorf("after %T (-want +got):\n%s", tc.when, diff)
			}
		})
	}
}

func TestRefused_ForAllProvidersDoesNotMoveOn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		final bool
		want  task.State
	}{"this provider alone": {false, task.Queued}, "every provider": {true, task.Failed}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := task.New("t", "films", "r", task.Spec{MaxAttempts: 1}, []string{"kie", "luma"})
			admitted, err := d.Task.Apply(task.Admitted{Attempt: "a", Account: "kie"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := admitted.Task.Apply(task.Refused{Attempt: "a", Reason: task.InputUnreachable, Final: tc.final})
			if err != nil || got.Task.State != tc.want {
				t.Errorf("task is %s, %v, want %s", got.Task.State, err, tc.want)
			}
			if f := got.Task.Failure; tc.final && (f.Reason != task.InputUnreachable || f.Payment != task.PaymentNone) {
				t.Errorf("failure %+v", f)
			}
		})
	}
}
