package task

import "slices"

// At returns the task as it was after an event. newestAttempt is the number of its newest attempt then; 0 means that it had none.
//
// What only a later change made is left out: outputs, failures, further attempts, and what is known about the newest attempt. Where
// events do not record a property, such as the state of an older attempt or the deadline, At returns its present value.
func (t *Task) At(e Event, newestAttempt int) Task {
	then := *t
	then.State, then.Revision, then.Failure, then.UpdateTime = e.State, e.Revision, e.Failure, e.CreateTime
	then.Attempts = slices.Clone(t.Attempts[:min(max(newestAttempt, 0), len(t.Attempts))])
	if e.State != Succeeded {
		then.Outputs = nil
	}
	if e.Revision >= t.Revision {
		return then // The task has not moved on, so its attempts and its provider are those of the event.
	}
	then.Result = ""
	if e.Attempt > 0 && e.Attempt <= len(then.Attempts) && (e.State == Saving || e.State == Succeeded) {
		then.Result = then.Attempts[e.Attempt-1].ID
	}
	then.Provider = t.providerAt(e, len(then.Attempts))
	if a := then.Attempt(); a != nil && a.Number == e.Attempt {
		a.rewind(e)
	}
	return then
}

// providerAt returns the provider of the task after an event. A queued task is at the provider of its next attempt; otherwise it
// is at that of its newest one.
func (t *Task) providerAt(e Event, newestAttempt int) string {
	switch {
	case e.State == Queued && newestAttempt < len(t.Attempts):
		return t.Attempts[newestAttempt].Provider
	case e.State != Queued && newestAttempt > 0:
		return t.Attempts[newestAttempt-1].Provider
	default:
		return t.Provider
	}
}

// rewind sets the state of the attempt to what it was after an event about it, and removes what became known later.
func (a *Attempt) rewind(e Event) {
	switch e.State {
	case Submitting:
		*a = Attempt{ID: a.ID, Number: a.Number, Provider: a.Provider, Account: a.Account, State: AttemptSubmitting, CreateTime: a.CreateTime}
	case Running:
		unknown := a.ProviderTaskID == "" && (a.State == AttemptUnconfirmed || a.State == AttemptLost)
		a.State, a.Saved, a.Blame, a.Message, a.Cost = AttemptRunning, false, "", "", Cost{}
		if unknown { // Its provider never named a task, so it was not accepted then either.
			a.State = AttemptUnconfirmed
		}
	case Saving:
		a.State, a.Saved, a.Blame, a.Message = AttemptSucceeded, false, "", ""
	case Succeeded:
		a.State, a.Saved, a.Blame, a.Message = AttemptSucceeded, true, "", ""
	case Failed:
		if e.Failure == nil {
			return
		}
		switch e.Failure.Reason {
		case OutcomeUnknown: // A retry may have reopened it.
			a.State, a.Saved, a.Message = AttemptLost, false, e.Failure.Message
		case OutputUnavailable, OutputInvalid: // A retry may have saved its outputs.
			a.State, a.Saved = AttemptSucceeded, false
		default: // It was refused or has failed, which is final, or the deadline passed.
		}
	case Queued, Canceled: // It was refused or has failed, or the event is not about it.
	}
}
