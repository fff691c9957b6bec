package task

import (
	"fmt"
	"slices"
)

func (d *Decision) cancel() {
	if d.Task.State.Terminal() {
		return
	}
	d.move(Canceled, 0, "canceled by the caller")
}

func (d *Decision) deadline() {
	switch d.Task.State {
	case Queued, Submitting, Running:
		d.fail(d.Task.Attempt(), DeadlineExceeded, fmt.Sprintf("the deadline of %s passed while the task was %s", d.Task.Spec.Deadline, d.Task.State))
	case Saving, Succeeded, Failed, Canceled:
	}
}

func (d *Decision) retry(in RetryRequested) error {
	if d.Task.State != Failed && d.Task.State != Canceled {
		return fmt.Errorf("task %s is %s: %w", d.Task.ID, d.Task.State, ErrNotRetryable)
	}
	d.RenewDeadline = true
	const message = "retry requested"
	if !in.NewAttempt && (d.adopt(message, "") || d.reopen(message)) {
		return nil
	}
	d.Task.Result = ""
	d.Task.Allowance = max(d.Task.Allowance, d.Task.paid()+1)
	if first := slices.IndexFunc(d.Task.Route, isKnown(in.Known)); first >= 0 {
		d.Task.Provider = d.Task.Route[first]
	}
	d.move(Queued, 0, message)
	return nil
}

// adopt continues the task with the result of an attempt, or else with an attempt that may still have a result, newest
// first. It skips the excepted attempt. It reports whether it found one.
func (d *Decision) adopt(message string, except AttemptID) bool {
	return d.adoptResult(message, except) || d.adoptOpen(message, except)
}

func (d *Decision) adoptResult(message string, except AttemptID) bool {
	for _, a := range slices.Backward(d.Task.Attempts) {
		if a.State != AttemptSucceeded || a.ID == except {
			continue
		}
		message = fmt.Sprintf("%s; going on with the result of attempt %d", message, a.Number)
		if a.Saved {
			d.Task.Result = a.ID
			d.move(Succeeded, a.Number, message)
		} else {
			d.save(&a, nil, message)
		}
		return true
	}
	return false
}

func (d *Decision) adoptOpen(message string, except AttemptID) bool {
	for _, a := range slices.Backward(d.Task.Attempts) {
		if !a.Open() || a.ID == except {
			continue
		}
		message = fmt.Sprintf("%s; going on with attempt %d", message, a.Number)
		if a.State == AttemptSubmitting {
			d.move(Submitting, a.Number, message)
			if !a.Sent {
				d.enqueue(d.submit(&a)) // Its job may be lost. A second job sends nothing twice.
			}
		} else {
			d.move(Running, a.Number, message)
			d.checkAfter(&a, 0)
		}
		return true
	}
	return false
}

// reopen makes the newest LOST attempt with a provider task id RUNNING again, so that the provider is asked about it,
// and reports whether there is one.
func (d *Decision) reopen(message string) bool {
	for i, a := range slices.Backward(d.Task.Attempts) {
		if a.State == AttemptLost && a.ProviderTaskID != "" {
			d.set(&d.Task.Attempts[i], AttemptRunning, "")
			d.move(Running, a.Number, fmt.Sprintf("%s; asking again about attempt %d", message, a.Number))
			d.checkAfter(&a, 0)
			return true
		}
	}
	return false
}

// openState returns the state in which a lost attempt is followed again.
func openState(a *Attempt) AttemptState {
	if a.ProviderTaskID == "" {
		return AttemptUnconfirmed
	}
	return AttemptRunning
}
