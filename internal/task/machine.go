package task

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The states, and the inputs that lead from one to another:
//
//	            Admitted              Accepted, Ambiguous          ResultReady              Saved
//	 QUEUED ───────────────▶ SUBMITTING ───────────▶ RUNNING ───────────────▶ SAVING ──────────────▶ SUCCEEDED
//	   ▲                        │   │                 │   │                     │  │
//	   ├── Refused ─────────────┘   └─ Refused ──▶ FAILED ◀── GivenUp,          │  │
//	   ├── GenerationFailed, allowance left ──────────┴── GenerationFailed ─────┤  └─ SaveFailed ──▶ FAILED
//	   └────────────────────────────────────────────────────────────────────────┘
//
//	ResultReady also leads to SAVING from QUEUED and SUBMITTING: a callback can overtake the answer to its
//	submission, and a late result is adopted before another attempt is paid for.
//	Refused leads to FAILED only when it has a reason, and no provider left on the route would accept the task.
//	ProviderBlocked leads from QUEUED to QUEUED at the next provider.
//	TakenOver leads from QUEUED and SUBMITTING to where the answer to the forgotten attempt leads from SUBMITTING.
//	Unprepared leads from QUEUED to where Refused with a reason leads from SUBMITTING.
//	A callback or a check can also confirm an UNCONFIRMED attempt: RUNNING stays RUNNING.
//	CancelRequested leads from every state but the terminal ones to CANCELED.
//	DeadlinePassed leads from QUEUED, SUBMITTING and RUNNING to FAILED. A result that is being saved is not
//	discarded.
//	RetryRequested leads from FAILED and CANCELED to SUCCEEDED, SAVING, RUNNING or SUBMITTING where an attempt
//	can be adopted, else to QUEUED.
//	A caller may have requested several attempts at once. When one ends without a result, the task continues with
//	another one that has a result or may still have one. Otherwise it is queued or fails.

// The errors of Apply. Every other input that does not fit is late or repeated, and changes nothing.
var (
	// ErrNotRetryable means that a retry was requested for a task that is neither FAILED nor CANCELED.
	ErrNotRetryable = errors.New("only FAILED and CANCELED tasks can be retried")
	// ErrNotQueued means that admission chose a task that is not QUEUED.
	ErrNotQueued = errors.New("only QUEUED tasks can be admitted")
	// ErrAlreadySent means that the attempt was sent before, or may have been: it must not be sent again.
	ErrAlreadySent = errors.New("the attempt was sent before")
	// ErrUnknownAttempt means that the input names an attempt of another task.
	ErrUnknownAttempt = errors.New("the task has no such attempt")
	// ErrProviderTaskMismatch means that the input names another provider task than the attempt's own.
	ErrProviderTaskMismatch = errors.New("the attempt has another provider task id")
)

// New returns the decision that begins a task: QUEUED, at revision 1. The route has at least one provider.
func New(id ID, tenant, requestID string, spec Spec, route []string) Decision {
	d := Decision{Task: Task{
		ID: id, Tenant: tenant, RequestID: requestID, Spec: spec, Provider: route[0], Route: route, Allowance: spec.MaxAttempts,
	}}
	d.move(Queued, 0, "submitted")
	return d
}

// Apply returns the effect of an input on the task. It does not change the receiver. For a late or repeated input, the
// decision is not Changed.
func (t *Task) Apply(in Input) (Decision, error) {
	d := Decision{Task: *t}
	d.Task.Attempts = slices.Clone(t.Attempts)
	var err error
	switch in := in.(type) {
	case Admitted:
		err = d.admit(in)
	case ProviderBlocked:
		d.providerBlocked(in)
	case Unprepared:
		d.unprepared(in)
	case Sending:
		err = d.sending(in)
	case Accepted:
		err = d.withAttempt(in.Attempt, in.ProviderTaskID, func(a *Attempt) { d.accept(a, in) })
	case Refused:
		err = d.withAttempt(in.Attempt, "", func(a *Attempt) { d.refuse(a, in) })
	case TakenOver:
		err = d.takeOver(in)
	case Ambiguous:
		err = d.withAttempt(in.Attempt, "", func(a *Attempt) { d.ambiguous(a, in) })
	case ResultReady:
		err = d.withAttempt(in.Attempt, in.ProviderTaskID, func(a *Attempt) { d.resultReady(a, in) })
	case GenerationFailed:
		err = d.withAttempt(in.Attempt, in.ProviderTaskID, func(a *Attempt) { d.generationFailed(a, in) })
	case Hinted:
		err = d.withAttempt(in.Attempt, in.provenID(), func(a *Attempt) { d.hinted(a, in) })
	case GivenUp:
		err = d.withAttempt(in.Attempt, "", func(a *Attempt) { d.giveUp(a, in) })
	case Saved:
		err = d.withAttempt(in.Attempt, "", func(a *Attempt) { d.saved(a, in) })
	case SaveFailed:
		err = d.withAttempt(in.Attempt, "", func(a *Attempt) { d.saveFailed(a, in) })
	case CancelRequested:
		d.cancel()
	case RetryRequested:
		err = d.retry(in)
	case DeadlinePassed:
		d.deadline()
	}
	if err != nil {
		return Decision{Task: *t}, err
	}
	return d, nil
}

// withAttempt calls f with the attempt that an input names, after checking that both have the same provider task.
func (d *Decision) withAttempt(id AttemptID, providerTaskID string, f func(*Attempt)) error {
	a := d.Task.AttemptByID(id)
	switch {
	case a == nil:
		return fmt.Errorf("attempt %s: %w", id, ErrUnknownAttempt)
	case providerTaskID != "" && a.ProviderTaskID != "" && a.ProviderTaskID != providerTaskID:
		return fmt.Errorf("attempt %s: %w", id, ErrProviderTaskMismatch)
	}
	if providerTaskID != "" && a.ProviderTaskID == "" {
		a.ProviderTaskID = providerTaskID
		d.Changed = true
	}
	f(a)
	return nil
}

// move changes the state of the task and records an event. attempt 0 means that the event is not about an attempt.
func (d *Decision) move(s State, attempt int, message string) {
	d.Changed = true
	d.Task.State = s
	d.Task.Revision++
	d.Event = &Event{Revision: d.Task.Revision, State: s, Attempt: attempt, Message: message}
	if s != Failed {
		d.Task.Failure = nil
	}
}

// fail changes the state of the task to FAILED.
func (d *Decision) fail(a *Attempt, reason Reason, message string) {
	number := 0
	if a != nil {
		number = a.Number
	}
	d.Task.Failure = &Failure{Reason: reason, Message: message, Payment: a.payment()}
	d.move(Failed, number, message)
	d.Event.Failure = d.Task.Failure
}

// set changes the state of an attempt.
func (d *Decision) set(a *Attempt, s AttemptState, message string) {
	a.State, a.Message = s, message
	if s == AttemptRunning || s == AttemptSucceeded || s == AttemptFailed { // The provider accepted it after all.
		a.Blame = ""
	}
	d.Changed = true
}

// enqueue adds a job.
func (d *Decision) enqueue(job Job) { d.Jobs = append(d.Jobs, job) }

// checkAfter requests a check of the attempt after a delay.
func (d *Decision) checkAfter(a *Attempt, delay time.Duration) {
	d.Check, d.CheckDelay, d.Changed = a.ID, delay, true
}

// awaits reports whether the task's outcome depends on this attempt: the task is SUBMITTING or RUNNING, and no newer
// attempt is open.
func (d *Decision) awaits(a *Attempt) bool {
	if d.Task.State != Submitting && d.Task.State != Running {
		return false
	}
	return !slices.ContainsFunc(d.Task.Attempts[a.Number:], func(n Attempt) bool { return n.Open() })
}
