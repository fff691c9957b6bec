package task_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/task"
)

// step is one input and its effect.
type step struct {
	before   task.Task // A copy of the task before the input,
	receiver task.Task // and the task that Apply was called on, after the call.
	in       task.Input
	decision task.Decision
	err      error
	after    task.Task // What is stored afterwards: the decision's task if it is Changed.
}

// entered reports whether the step moved the task into the state, also from the same state.
func (s *step) entered(state task.State) bool {
	return s.decision.Event != nil && s.decision.Event.State == state
}

// history is the history of a task as a store would keep it: every step since submission.
type history struct {
	task    task.Task
	steps   []*step
	pending []task.Job                  // Enqueued and not yet ended.
	sending map[task.AttemptID]struct{} // Sent by a submit job that has not answered yet.
	checked map[task.AttemptID]struct{} // The provider is asked about these for as long as they are open.
}

func newHistory(maxAttempts int, fallbacks ...string) *history {
	d := task.New("t", "tenant", "request", task.Spec{
		SourceURI: "https://example.com/in.mp4", Provider: "kie", Fallbacks: fallbacks, Deadline: time.Hour, MaxAttempts: maxAttempts, Labels: map[string]string{"team": "films"},
	}, append([]string{"kie"}, fallbacks...))
	return &history{task: d.Task, sending: map[task.AttemptID]struct{}{}, checked: map[task.AttemptID]struct{}{}}
}

// clone returns a copy that can continue independently. It keeps no steps.
func (h *history) clone() *history {
	return &history{
		task: copyOf(h.task), pending: slices.Clone(h.pending),
		sending: maps.Clone(h.sending), checked: maps.Clone(h.checked),
	}
}

// apply applies an input to the task and stores the decision. done is the job that ends with it, or nil.
func (h *history) apply(in task.Input, done task.Job) error {
	s := &step{before: copyOf(h.task), in: in}
	s.decision, s.err = h.task.Apply(in)
	s.receiver = h.task
	if s.err == nil && s.decision.Changed {
		h.task = s.decision.Task
		h.pending = append(h.pending, s.decision.Jobs...)
		if s.decision.Check != "" {
			h.checked[s.decision.Check] = struct{}{}
		}
	}
	s.after = h.task
	h.pending = slices.DeleteFunc(h.pending, func(j task.Job) bool { return reflect.DeepEqual(j, done) })
	h.steps = append(h.steps, s)
	return s.err
}

// submit runs the next step of the job that sends an attempt, as the worker must do it: record that it sends before it
// sends, report the outcome afterwards, and never send on a second run. A crash between the two leads to a second run.
func (h *history) submit(job task.SubmitAttempt, answer task.Input) {
	id := job.AttemptID
	if _, sent := h.sending[id]; sent {
		delete(h.sending, id)
		if errors.Is(h.apply(answer, job), task.ErrProviderTaskMismatch) {
			h.pending = append(h.pending, job) // A job that ends with an error runs again.
		}
		return
	}
	switch err := h.apply(task.Sending{Attempt: id}, nil); {
	case errors.Is(err, task.ErrAlreadySent):
		_ = h.apply(task.Ambiguous{Attempt: id, CheckAfter: time.Minute, Message: "sent by an earlier run"}, job)
	case h.task.AttemptByID(id).State == task.AttemptSubmitting:
		h.sending[id] = struct{}{}
	default: // Refused, or settled by a callback: there is nothing to send.
		h.pending = slices.DeleteFunc(h.pending, func(j task.Job) bool { return j == job })
	}
}

// String returns the list of inputs, which a failing test prints.
func (h *history) String() string {
	s := fmt.Sprintf("\nmax_attempts %d", h.task.Spec.MaxAttempts)
	for i, st := range h.steps {
		s += fmt.Sprintf("\n%2d. %T%+v → %s", i+1, st.in, st.in, st.after.State)
		for _, a := range st.after.Attempts {
			s += " " + string(a.State)
		}
		if st.err != nil {
			s += " (" + st.err.Error() + ")"
		}
	}
	return s
}

// copyOf returns a task that shares nothing with the original.
func copyOf(t task.Task) task.Task {
	t.Attempts = slices.Clone(t.Attempts)
	t.Outputs = slices.Clone(t.Outputs)
	t.Route = slices.Clone(t.Route)
	t.Spec.Labels = maps.Clone(t.Spec.Labels)
	if t.Failure != nil {
		f := *t.Failure
		t.Failure = &f
	}
	return t
}

// drawHistory applies random inputs to a task: sensible, late, repeated and contradictory ones.
func drawHistory(t *rapid.T) *history {
	h := newHistory(rapid.IntRange(1, 3).Draw(t, "max attempts"), rapid.SampledFrom([][]string{nil, {"luma"}}).Draw(t, "fallbacks")...)
	t.Repeat(map[string]func(*rapid.T){
		"anything": func(t *rapid.T) { _ = h.apply(drawInput(t, h), nil) },
		"again": func(t *rapid.T) {
			if len(h.steps) == 0 {
				t.Skip("nothing to repeat")
			}
			in := h.steps[rapid.IntRange(0, len(h.steps)-1).Draw(t, "step")].in
			if _, admission := in.(task.Admitted); admission {
				t.Skip("admission gives every attempt an id of its own")
			}
			_ = h.apply(in, nil)
		},
		"go on": func(t *rapid.T) {
			switch h.task.State {
			case task.Queued:
				_ = h.apply(task.Admitted{Attempt: attemptID(len(h.task.Attempts) + 1)}, nil)
			case task.Failed, task.Canceled:
				_ = h.apply(task.RetryRequested{NewAttempt: rapid.Bool().Draw(t, "new attempt")}, nil)
			case task.Submitting, task.Running, task.Saving, task.Succeeded:
				t.Skip("it goes on by itself")
			}
		},
		"run a job": func(t *rapid.T) {
			if len(h.pending) == 0 {
				t.Skip("no job")
			}
			switch job := rapid.SampledFrom(h.pending).Draw(t, "job").(type) {
			case task.SubmitAttempt:
				h.submit(job, drawAnswer(t, job.AttemptID))
			case task.SaveOutputs:
				_ = h.apply(drawSave(t, job.AttemptID), job)
			}
		},
	})
	return h
}

func attemptID(n int) task.AttemptID { return task.AttemptID(fmt.Sprintf("a%d", n)) }

// drawInput draws any input, about any attempt, the next one and one of another task included.
func drawInput(t *rapid.T, h *history) task.Input {
	id := attemptID(rapid.IntRange(0, len(h.task.Attempts)).Draw(t, "attempt"))
	switch rapid.IntRange(0, 12).Draw(t, "input") {
	case 0:
		return task.Admitted{Attempt: attemptID(len(h.task.Attempts) + 1), Account: h.task.Provider}
	case 10:
		return task.ProviderBlocked{}
	case 12:
		return task.TakenOver{
			Attempt: attemptID(rapid.IntRange(1, len(h.task.Attempts)+1).Draw(t, "taken over")), Outcome: rapid.SampledFrom(outcomes).Draw(t, "outcome"),
			ProviderTaskID: drawName(t, id), Provider: "kie", Account: "kie", CheckAfter: time.Minute,
		}
	case 11:
		return task.Unprepared{Provider: h.task.Provider, Reason: task.InputUnreachable, Message: "unreachable", Final: rapid.Bool().Draw(t, "final")}
	case 1:
		return task.CancelRequested{}
	case 2:
		return task.DeadlinePassed{}
	case 3:
		return task.RetryRequested{NewAttempt: rapid.Bool().Draw(t, "new attempt")}
	case 4:
		return drawAnswer(t, id)
	case 5:
		return drawSave(t, id)
	case 6:
		return task.Hinted{Attempt: id, ProviderTaskID: drawName(t, id), Proven: rapid.Bool().Draw(t, "proven")}
	case 7:
		return task.ResultReady{Attempt: id, ProviderTaskID: drawName(t, id)}
	case 8:
		return task.GenerationFailed{Attempt: id, ProviderTaskID: drawName(t, id), Message: "failed"}
	default:
		return task.GivenUp{Attempt: id, Message: "the wait for its callback ended"}
	}
}

// drawName draws a provider task id for an attempt: mostly the right one.
func drawName(t *rapid.T, id task.AttemptID) string {
	return rapid.SampledFrom([]string{"p" + string(id), "p" + string(id), "p" + string(id), "stranger"}).Draw(t, "name")
}

// drawAnswer draws a possible outcome of sending an attempt.
func drawAnswer(t *rapid.T, id task.AttemptID) task.Input {
	return rapid.SampledFrom([]task.Input{
		task.Accepted{Attempt: id, ProviderTaskID: drawName(t, id), CheckAfter: time.Minute},
		task.Refused{Attempt: id, Delay: time.Second, Message: "too many requests"},
		task.Refused{Attempt: id, Unsent: true, Message: "not recorded"},
		task.Refused{Attempt: id, Reason: task.InputRejected, Message: "bad prompt"},
		task.Ambiguous{Attempt: id, CheckAfter: time.Minute, Message: "timeout"},
		task.GenerationFailed{Attempt: id, Message: "failed at once"},
	}).Draw(t, "answer")
}

// drawSave draws a possible outcome of saving the outputs of an attempt.
func drawSave(t *rapid.T, id task.AttemptID) task.Input {
	return rapid.SampledFrom([]task.Input{
		task.Saved{Attempt: id, Outputs: []task.Output{{Key: string(id) + "/0.mp4"}}},
		task.SaveFailed{Attempt: id, Reason: task.OutputUnavailable, Message: "not found"},
	}).Draw(t, "save")
}
