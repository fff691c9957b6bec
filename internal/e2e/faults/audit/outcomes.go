package audit

import "slices"

// outcomeChecks check promises 6, 7 and 8: no false callback is believed, every task ends, and results are stored.
var outcomeChecks = []check{
	{6, "no forged file was fetched", func(f *Facts, fail func(string, ...any)) {
		for _, d := range f.Downloads {
			if d.Forged {
				fail("the forged file of %s was downloaded", d.TaskID)
			}
		}
	}},
	{6, "every task ended as it was to", func(f *Facts, fail func(string, ...any)) {
		for _, s := range f.Submits {
			t := f.tasks[s.TaskID]
			if t == nil || len(s.Outcomes) == 0 || !terminal(t.State) {
				continue // Other checks cover that.
			}
			if !slices.Contains(s.Outcomes, t.Outcome()) {
				fail("task %s (%s) ended as %s (%s), and could only as one of %v", t.ID, t.Prompt, t.Outcome(), t.Message, s.Outcomes)
			}
		}
	}},
	{7, "every task ended or waits for an unknown outcome", func(f *Facts, fail func(string, ...any)) {
		for _, t := range f.Tasks {
			if !terminal(t.State) && !f.waits(&t) {
				state := "no attempt"
				if attempts := f.attemptsN[t.ID]; len(attempts) > 0 {
					state = "an attempt that is " + attempts[len(attempts)-1].State
				}
				fail("task %s (%s) is %s, with %s", t.ID, t.Prompt, t.State, state)
			}
		}
	}},
	{8, "a task that succeeded has outputs", func(f *Facts, fail func(string, ...any)) {
		outputs := map[string]int{}
		for _, o := range f.Outputs {
			outputs[o.AttemptID]++
		}
		for _, t := range f.Tasks {
			if t.State == "SUCCEEDED" && outputs[t.ResultAttempt] == 0 {
				fail("task %s succeeded without outputs", t.ID)
			}
		}
	}},
	{8, "outputs are in the bucket, whole", func(f *Facts, fail func(string, ...any)) {
		for _, o := range f.Outputs {
			if file, there := f.Bucket[o.Key]; !there {
				fail("%s is not in the bucket", o.Key)
			} else if file != (Content{o.Size, o.SHA256}) {
				fail("%s in the bucket has %d bytes and SHA-256 %s, recorded are %d and %s", o.Key, file.Size, file.SHA256, o.Size, o.SHA256)
			}
		}
	}},
	{8, "outputs are what the provider made", func(f *Facts, fail func(string, ...any)) {
		for _, o := range f.Outputs {
			a := f.attempts[o.AttemptID]
			if a == nil || f.Original[File{a.ProviderTaskID, o.Index}] != (Content{o.Size, o.SHA256}) {
				fail("%s is not result %d of the provider's task", o.Key, o.Index)
			}
		}
	}},
}

// waits reports whether a RUNNING task waits for an unknown outcome: the callback of its attempt may come for half an
// hour, and the task says so.
func (f *Facts) waits(t *Task) bool {
	attempts := f.attemptsN[t.ID]
	if t.State != "RUNNING" || len(attempts) == 0 {
		return false
	}
	last := attempts[len(attempts)-1]
	return last.State == "UNCONFIRMED" && last.Provider != "luma-agents" // It has no callbacks.
}
