package task_test

import (
	"testing"

	"github.com/refract-video/refract/internal/task"
)

// TestApply_TheLastWordOfTheProviderIsTheCost applies what a provider says of the cost of an attempt.
func TestApply_TheLastWordOfTheProviderIsTheCost(t *testing.T) {
	t.Parallel()
	ready := func(amount string) task.Input {
		return task.ResultReady{Attempt: attemptID(1), Cost: task.Cost{Amount: amount, Unit: "credits"}}
	}
	failed := task.GenerationFailed{Attempt: attemptID(1), Message: "no", Cost: task.Cost{Amount: "0", Unit: "credits"}}
	none := task.ResultReady{Attempt: attemptID(1)}
	for name, tc := range map[string]struct {
		inputs  []task.Input
		want    string
		changed bool // By the last input.
	}{
		"a success":              {[]task.Input{ready("8")}, "8", true},
		"a success without cost": {[]task.Input{none}, "", true},
		"said later":             {[]task.Input{none, ready("8")}, "8", true},
		"said again":             {[]task.Input{ready("8"), ready("8")}, "8", false},
		"corrected":              {[]task.Input{ready("8"), ready("7.5")}, "7.5", true},
		"not said again":         {[]task.Input{ready("8"), none}, "8", false},
		"a failure":              {[]task.Input{failed}, "0", true},
		"a result that was none": {[]task.Input{ready("8"), failed}, "0", true},
		"a result of a failure":  {[]task.Input{failed, ready("8")}, "0", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tk := begin(t, 1, inputs{admit(1), send(1), accept(1)})
			var d task.Decision
			for _, in := range tc.inputs {
				var err error
				if d, err = tk.Apply(in); err != nil {
					t.Fatal(err)
				}
				tk = d.Task
			}
			if got := tk.Attempts[0].Cost.Amount; got != tc.want || d.Changed != tc.changed {
				t.Errorf("cost %q, changed %t; want %q, %t", got, d.Changed, tc.want, tc.changed)
			}
		})
	}
}
