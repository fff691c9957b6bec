package task_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
)

// Inputs for the tables, about attempt number n.
func admit(n int) task.Input { return task.Admitted{Attempt: attemptID(n)} }
func send(n int) task.Input  { return task.Sending{Attempt: attemptID(n)} }
func accept(n int) task.Input {
	return task.Accepted{Attempt: attemptID(n), ProviderTaskID: "p" + string(attemptID(n)), CheckAfter: time.Minute}
}

func park(n int) task.Input {
	return task.Refused{Attempt: attemptID(n), Delay: time.Second, Message: "429"}
}

func refuse(n int) task.Input {
	return task.Refused{Attempt: attemptID(n), Reason: task.InputRejected, Message: "bad prompt"}
}

func unanswered(n int) task.Input {
	return task.Ambiguous{Attempt: attemptID(n), CheckAfter: time.Hour, Message: "timeout"}
}

func ready(n int) task.Input {
	return task.ResultReady{Attempt: attemptID(n), ProviderTaskID: "p" + string(attemptID(n))}
}

func fail(n int) task.Input {
	return task.GenerationFailed{Attempt: attemptID(n), ProviderTaskID: "p" + string(attemptID(n)), Message: "failed"}
}

func hint(n int) task.Input {
	return task.Hinted{Attempt: attemptID(n), ProviderTaskID: "p" + string(attemptID(n))}
}

func prove(n int) task.Input {
	return task.Hinted{Attempt: attemptID(n), ProviderTaskID: "p" + string(attemptID(n)), Proven: true}
}
func giveUp(n int) task.Input { return task.GivenUp{Attempt: attemptID(n), Message: "no callback"} }
func saved(n int) task.Input {
	return task.Saved{Attempt: attemptID(n), Outputs: []task.Output{{Key: "0.mp4"}}}
}

func unsaved(n int) task.Input {
	return task.SaveFailed{Attempt: attemptID(n), Reason: task.OutputInvalid, Message: "not a video"}
}

var (
	cancel   = task.CancelRequested{}
	late     = task.DeadlinePassed{}
	retry    = task.RetryRequested{}
	retryNew = task.RetryRequested{NewAttempt: true}
)

func submitJob(n int) []task.Job {
	return []task.Job{task.SubmitAttempt{AttemptID: attemptID(n), Tenant: "tenant", Host: "example.com"}}
}
func saveJob(n int) []task.Job { return []task.Job{task.SaveOutputs{AttemptID: attemptID(n)}} }

type inputs []task.Input

// begin returns a task after the inputs, each of which must change it.
func begin(t *testing.T, maxAttempts int, given inputs) task.Task {
	t.Helper()
	h := newHistory(max(1, maxAttempts))
	for _, in := range given {
		if err := h.apply(in, nil); err != nil || !h.steps[len(h.steps)-1].decision.Changed {
			t.Fatalf("given %T%+v changed nothing: %v%v", in, in, err, h)
		}
	}
	return h.task
}

// outcome is a summary of a decision.
type outcome struct {
	State         task.State
	Attempts      string // The states of the attempts.
	Jobs          []task.Job
	Check         task.AttemptID
	CheckDelay    time.Duration
	RequeueDelay  time.Duration
	RenewDeadline bool
	Reason        task.Reason
	Payment       task.Payment
	Silent        bool // Without an event.
}

func outcomeOf(d task.Decision) outcome {
	o := outcome{
		State: d.Task.State, Jobs: d.Jobs, Check: d.Check, CheckDelay: d.CheckDelay, RequeueDelay: d.RequeueDelay,
		RenewDeadline: d.RenewDeadline, Silent: d.Event == nil,
	}
	if f := d.Task.Failure; f != nil {
		o.Reason, o.Payment = f.Reason, f.Payment
	}
	var states []string
	for _, a := range d.Task.Attempts {
		states = append(states, string(a.State))
	}
	o.Attempts = strings.Join(states, " ")
	return o
}

func TestApply_Changes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name        string
		maxAttempts int // 0 means 1.
		given       inputs
		when        task.Input
		want        outcome
	}{
		// Sending.
		{"admission makes an attempt and its job", 0, nil, admit(1), outcome{State: "SUBMITTING", Attempts: "SUBMITTING", Jobs: submitJob(1)}},
		{"sending is noted before it begins", 0, inputs{admit(1)}, send(1), outcome{State: "SUBMITTING", Attempts: "SUBMITTING", Silent: true}},
		{"an attempt of a canceled task is not sent", 0, inputs{admit(1), cancel}, send(1), outcome{State: "CANCELED", Attempts: "REFUSED", Silent: true}},
		{"an attempt that a newer one superseded is not sent", 0, inputs{admit(1), cancel, retryNew, admit(2)}, send(1), outcome{State: "SUBMITTING", Attempts: "REFUSED SUBMITTING", Silent: true}},
		{"an accepted attempt runs", 0, inputs{admit(1), send(1)}, accept(1), outcome{State: "RUNNING", Attempts: "RUNNING", Check: "a1", CheckDelay: time.Minute}},
		{"an unanswered attempt waits for its callback", 0, inputs{admit(1), send(1)}, unanswered(1), outcome{State: "RUNNING", Attempts: "UNCONFIRMED", Check: "a1", CheckDelay: time.Hour}},
		{"a parked attempt queues the task again", 0, inputs{admit(1), send(1)}, park(1), outcome{State: "QUEUED", Attempts: "REFUSED", RequeueDelay: time.Second}},
		{"a parked attempt costs no allowance", 0, inputs{admit(1), send(1), park(1), admit(2), send(2)}, park(2), outcome{State: "QUEUED", Attempts: "REFUSED REFUSED", RequeueDelay: time.Second}},
		{"a refusal is believed though its run was given up", 0, inputs{admit(1), send(1), unanswered(1)}, park(1), outcome{State: "QUEUED", Attempts: "REFUSED", RequeueDelay: time.Second}},
		{"a refusal leaves the task to another open attempt", 0, inputs{admit(1), send(1), accept(1), cancel, retryNew, admit(2), send(2)}, refuse(2), outcome{State: "RUNNING", Attempts: "RUNNING REFUSED", Check: "a1"}},
		{"outputs that can't be saved leave the task to another open attempt", 0, inputs{admit(1), send(1), accept(1), cancel, retryNew, admit(2), send(2), accept(2), ready(1)}, unsaved(1), outcome{State: "RUNNING", Attempts: "SUCCEEDED RUNNING", Check: "a2"}},
		{"a refused attempt fails the task for nothing", 0, inputs{admit(1), send(1)}, refuse(1), outcome{State: "FAILED", Attempts: "REFUSED", Reason: "INPUT_REJECTED", Payment: "NONE"}},
		{"an attempt of a canceled task is refused quietly", 0, inputs{admit(1), cancel}, park(1), outcome{State: "CANCELED", Attempts: "REFUSED", Silent: true}},
		{"an answer after the end is recorded", 0, inputs{admit(1), send(1), cancel}, accept(1), outcome{State: "CANCELED", Attempts: "RUNNING", Check: "a1", CheckDelay: time.Minute, Silent: true}},

		// Verdicts.
		{"a result is saved", 0, inputs{admit(1), send(1), accept(1)}, ready(1), outcome{State: "SAVING", Attempts: "SUCCEEDED", Jobs: saveJob(1)}},
		{"a callback may overtake the answer", 0, inputs{admit(1), send(1)}, ready(1), outcome{State: "SAVING", Attempts: "SUCCEEDED", Jobs: saveJob(1)}},
		{"a callback settles an unconfirmed attempt", 0, inputs{admit(1), send(1), unanswered(1)}, ready(1), outcome{State: "SAVING", Attempts: "SUCCEEDED", Jobs: saveJob(1)}},
		{"a late result is adopted before another attempt is paid for", 0, inputs{admit(1), send(1), accept(1), cancel, retryNew}, ready(1), outcome{State: "SAVING", Attempts: "SUCCEEDED", Jobs: saveJob(1)}},
		{"a late result spares an attempt that is not sent yet", 0, inputs{admit(1), send(1), accept(1), cancel, retryNew, admit(2)}, ready(1), outcome{State: "SAVING", Attempts: "SUCCEEDED SUBMITTING", Jobs: saveJob(1)}},
		{"a result after the end is saved and not shown", 0, inputs{admit(1), send(1), accept(1), late}, ready(1), outcome{State: "FAILED", Attempts: "SUCCEEDED", Jobs: saveJob(1), Reason: "DEADLINE_EXCEEDED", Payment: "PAID", Silent: true}},
		{"a failed attempt is followed by another within the allowance", 2, inputs{admit(1), send(1), accept(1)}, fail(1), outcome{State: "QUEUED", Attempts: "FAILED"}},
		{"a failed attempt fails the task when the allowance is spent", 0, inputs{admit(1), send(1), accept(1)}, fail(1), outcome{State: "FAILED", Attempts: "FAILED", Reason: "PROVIDER_FAILED", Payment: "PAID"}},
		{"a submission may be answered with the failure", 0, inputs{admit(1), send(1)}, task.GenerationFailed{Attempt: "a1", Message: "failed"}, outcome{State: "FAILED", Attempts: "FAILED", Reason: "PROVIDER_FAILED", Payment: "UNKNOWN"}},
		{"a failed attempt leaves the task to an older open one", 0, inputs{admit(1), send(1), accept(1), cancel, retryNew, admit(2), send(2), accept(2)}, fail(2), outcome{State: "RUNNING", Attempts: "RUNNING FAILED", Check: "a1"}},
		{"an older attempt fails without harm", 0, inputs{admit(1), send(1), accept(1), cancel, retryNew, admit(2)}, fail(1), outcome{State: "SUBMITTING", Attempts: "FAILED SUBMITTING", Silent: true}},
		{"a claimed result that is not there ends saving", 0, inputs{admit(1), send(1), accept(1), ready(1)}, fail(1), outcome{State: "FAILED", Attempts: "FAILED", Reason: "PROVIDER_FAILED", Payment: "PAID"}},
		{"a hint asks the provider now", 0, inputs{admit(1), send(1), unanswered(1)}, hint(1), outcome{State: "RUNNING", Attempts: "UNCONFIRMED", Check: "a1", Silent: true}},
		{"a proven hint names the attempt", 0, inputs{admit(1), send(1), unanswered(1)}, prove(1), outcome{State: "RUNNING", Attempts: "RUNNING", Check: "a1"}},
		{"a hint revives a lost attempt", 0, inputs{admit(1), send(1), unanswered(1), giveUp(1)}, prove(1), outcome{State: "FAILED", Attempts: "RUNNING", Check: "a1", Reason: "OUTCOME_UNKNOWN", Payment: "UNKNOWN", Silent: true}},
		{"a failure pays for no other attempt while a newer one is lost", 3, inputs{admit(1), send(1), cancel, retryNew, admit(2), accept(1), send(2), accept(2), giveUp(2)}, fail(1), outcome{State: "FAILED", Attempts: "FAILED LOST", Reason: "OUTCOME_UNKNOWN", Payment: "PAID"}},
		{"a refusal pays for no other attempt while a newer one is lost", 3, inputs{admit(1), send(1), unanswered(1), cancel, retryNew, admit(2), send(2), accept(2), giveUp(2)}, park(1), outcome{State: "FAILED", Attempts: "REFUSED LOST", Reason: "OUTCOME_UNKNOWN", Payment: "PAID"}},
		{"an attempt that the provider does not know is given up", 0, inputs{admit(1), send(1), unanswered(1)}, giveUp(1), outcome{State: "FAILED", Attempts: "LOST", Reason: "OUTCOME_UNKNOWN", Payment: "UNKNOWN"}},

		// Saving.
		{"saved outputs finish the task", 0, inputs{admit(1), ready(1)}, saved(1), outcome{State: "SUCCEEDED", Attempts: "SUCCEEDED"}},
		{"outputs saved after the end are kept", 0, inputs{admit(1), ready(1), cancel}, saved(1), outcome{State: "CANCELED", Attempts: "SUCCEEDED", Silent: true}},
		{"outputs that can't be saved fail the task", 0, inputs{admit(1), send(1), ready(1)}, unsaved(1), outcome{State: "FAILED", Attempts: "SUCCEEDED", Reason: "OUTPUT_INVALID", Payment: "PAID"}},

		// Caller and clock.
		{"a queued task is canceled", 0, nil, cancel, outcome{State: "CANCELED"}},
		{"a running task is canceled and its attempt followed", 0, inputs{admit(1), send(1), accept(1)}, cancel, outcome{State: "CANCELED", Attempts: "RUNNING"}},
		{"a task is canceled while its result is saved", 0, inputs{admit(1), ready(1)}, cancel, outcome{State: "CANCELED", Attempts: "SUCCEEDED"}},
		{"the deadline of a queued task passes", 0, nil, late, outcome{State: "FAILED", Reason: "DEADLINE_EXCEEDED", Payment: "NONE"}},
		{"the deadline passes while sending", 0, inputs{admit(1), send(1)}, late, outcome{State: "FAILED", Attempts: "SUBMITTING", Reason: "DEADLINE_EXCEEDED", Payment: "UNKNOWN"}},
		{"the deadline passes and the attempt is followed", 0, inputs{admit(1), send(1), accept(1)}, late, outcome{State: "FAILED", Attempts: "RUNNING", Reason: "DEADLINE_EXCEEDED", Payment: "PAID"}},
		{"a retry with nothing to adopt queues", 0, inputs{admit(1), send(1), refuse(1)}, retry, outcome{State: "QUEUED", Attempts: "REFUSED", RenewDeadline: true}},
		{"a retry does not wait for a lost attempt without a name", 0, inputs{admit(1), send(1), unanswered(1), giveUp(1)}, retry, outcome{State: "QUEUED", Attempts: "LOST", RenewDeadline: true}},
		{"a retry follows a lost attempt with a name", 0, inputs{admit(1), send(1), accept(1), giveUp(1)}, retry, outcome{State: "RUNNING", Attempts: "RUNNING", Check: "a1", RenewDeadline: true}},
		{"a retry follows an open attempt", 0, inputs{admit(1), send(1), accept(1), late}, retry, outcome{State: "RUNNING", Attempts: "RUNNING", Check: "a1", RenewDeadline: true}},
		{"a retry goes on with an attempt being sent", 0, inputs{admit(1), cancel}, retry, outcome{State: "SUBMITTING", Attempts: "SUBMITTING", Jobs: submitJob(1), RenewDeadline: true}},
		{"a retry saves a result again", 0, inputs{admit(1), ready(1), unsaved(1)}, retry, outcome{State: "SAVING", Attempts: "SUCCEEDED", Jobs: saveJob(1), RenewDeadline: true}},
		{"a retry shows the outputs that were saved", 0, inputs{admit(1), ready(1), cancel, saved(1)}, retry, outcome{State: "SUCCEEDED", Attempts: "SUCCEEDED", RenewDeadline: true}},
		{"a retry that insists adopts nothing", 0, inputs{admit(1), ready(1), unsaved(1)}, retryNew, outcome{State: "QUEUED", Attempts: "SUCCEEDED", RenewDeadline: true}},

		// Contradictions: money is not spent on them, and results are not lost in them.
		{"a retry prefers a result to an attempt not sent yet", 0, inputs{admit(1), send(1), accept(1), cancel, retryNew, admit(2), cancel, ready(1)}, retry, outcome{State: "SAVING", Attempts: "SUCCEEDED SUBMITTING", Jobs: saveJob(1), RenewDeadline: true}},
		{"the failure of one result leads to saving the other", 3, inputs{admit(1), send(1), park(1), admit(2), send(2), ready(1), ready(2)}, fail(1), outcome{State: "SAVING", Attempts: "FAILED SUCCEEDED", Jobs: saveJob(2)}},
		{"the failure of a result goes back to the attempt not sent yet", 0, inputs{admit(1), send(1), accept(1), cancel, retryNew, admit(2), ready(1)}, fail(1), outcome{State: "SUBMITTING", Attempts: "FAILED SUBMITTING", Jobs: submitJob(2)}},
		{"a failure of a refused attempt is only noted", 0, inputs{admit(1), send(1), park(1)}, fail(1), outcome{State: "QUEUED", Attempts: "REFUSED", Silent: true}},
		{"a parked attempt ends the task when a refused one spent the allowance after all", 2, inputs{admit(1), send(1), park(1), admit(2), send(2), fail(2), admit(3), ready(1), fail(1), send(3)}, park(3), outcome{State: "FAILED", Attempts: "FAILED FAILED REFUSED", Reason: "PROVIDER_FAILED", Payment: "NONE"}},
		{"a retry leaves an allowance that is larger", 2, inputs{cancel, retry, admit(1), send(1), accept(1)}, fail(1), outcome{State: "QUEUED", Attempts: "FAILED"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			before := begin(t, tc.maxAttempts, tc.given)
			d, err := before.Apply(tc.when)
			if err != nil || !d.Changed {
				t.Fatalf("%T: got Changed %t and error %v, want a change", tc.when, d.Changed, err)
			}
			if diff := cmp.Diff(tc.want, outcomeOf(d)); diff != "" {
				t.Errorf("%T (-want +got):\n%s", tc.when, diff)
			}
		})
	}
}

func TestApply_ChangesNothing(t *testing.T) {
	t.Parallel()
	running := inputs{admit(1), send(1), accept(1)}
	succeeded := inputs{admit(1), send(1), accept(1), ready(1), saved(1)}
	stranger := task.ResultReady{Attempt: "a1", ProviderTaskID: "stranger"}
	for _, tc := range []struct {
		name  string
		given inputs
		when  task.Input
		err   error
	}{
		{"admission of a task that is not queued", running, admit(2), task.ErrNotQueued},
		{"admission of a canceled task", inputs{cancel}, admit(1), task.ErrNotQueued},
		{"sending twice", inputs{admit(1), send(1)}, send(1), task.ErrAlreadySent},
		{"sending what a callback overtook", inputs{admit(1), ready(1)}, send(1), nil},
		{"sending an unknown attempt", nil, send(1), task.ErrUnknownAttempt},
		{"a verdict on an unknown attempt", running, ready(2), task.ErrUnknownAttempt},
		{"a verdict on another provider task", running, stranger, task.ErrProviderTaskMismatch},
		{"a second answer", running, accept(1), nil},
		{"a timeout after the answer", running, unanswered(1), nil},
		{"a refusal after the answer", running, refuse(1), nil},
		{"a refusal of what the provider named", inputs{admit(1), send(1), prove(1)}, park(1), nil},
		{"an answer after the result", inputs{admit(1), send(1), ready(1)}, accept(1), nil},
		{"an answer after the failure", inputs{admit(1), send(1), fail(1)}, accept(1), nil},
		{"a second result", succeeded, ready(1), nil},
		{"a failure after saving", succeeded, fail(1), nil},
		{"a result after the failure", inputs{admit(1), send(1), fail(1)}, ready(1), nil},
		{"a second failure", inputs{admit(1), send(1), fail(1)}, fail(1), nil},
		{"a hint after the verdict", succeeded, hint(1), nil},
		{"giving up what has a result", inputs{admit(1), ready(1)}, giveUp(1), nil},
		{"giving up twice", inputs{admit(1), send(1), unanswered(1), giveUp(1)}, giveUp(1), nil},
		{"saving twice", succeeded, saved(1), nil},
		{"saving what has no result", running, saved(1), nil},
		{"a failed save after the save", succeeded, unsaved(1), nil},
		{"a failed save of a canceled task", inputs{admit(1), ready(1), cancel}, unsaved(1), nil},
		{"canceling twice", inputs{cancel}, cancel, nil},
		{"canceling a failed task", inputs{late}, cancel, nil},
		{"canceling a succeeded task", succeeded, cancel, nil},
		{"the deadline while saving", inputs{admit(1), ready(1)}, late, nil},
		{"the deadline after success", succeeded, late, nil},
		{"the deadline after cancellation", inputs{cancel}, late, nil},
		{"retrying a queued task", nil, retry, task.ErrNotRetryable},
		{"retrying a running task", running, retryNew, task.ErrNotRetryable},
		{"retrying a succeeded task", succeeded, retryNew, task.ErrNotRetryable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			before := begin(t, 1, tc.given)
			d, err := before.Apply(tc.when)
			if !errors.Is(err, tc.err) {
				t.Errorf("%T: got error %v, want %v", tc.when, err, tc.err)
			}
			if diff := cmp.Diff(task.Decision{Task: before}, d); diff != "" {
				t.Errorf("%T changed something (-want +got):\n%s", tc.when, diff)
			}
		})
	}
}

func TestNew_QueuesAtRevisionOne(t *testing.T) {
	t.Parallel()
	d := task.New("t", "films", "r1", task.Spec{MaxAttempts: 3}, []string{"kie", "luma"})
	want := task.Decision{
		Task: task.Task{
			ID: "t", Tenant: "films", RequestID: "r1", Spec: task.Spec{MaxAttempts: 3},
			Provider: "kie", Route: []string{"kie", "luma"}, State: task.Queued, Revision: 1, Allowance: 3,
		},
		Event:   &task.Event{Revision: 1, State: task.Queued, Message: "submitted"},
		Changed: true,
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("new task (-want +got):\n%s", diff)
	}
}
