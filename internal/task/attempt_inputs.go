package task

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

func (d *Decision) admit(in Admitted) error {
	if d.Task.State != Queued {
		return fmt.Errorf("task %s is %s: %w", d.Task.ID, d.Task.State, ErrNotQueued)
	}
	n := len(d.Task.Attempts) + 1
	d.Task.Attempts = append(d.Task.Attempts, Attempt{
		ID: in.Attempt, Number: n, Provider: d.Task.Provider, Account: in.Account, State: AttemptSubmitting,
	})
	d.move(Submitting, n, fmt.Sprintf("attempt %d admitted to %s", n, in.Account))
	d.enqueue(d.submit(d.Task.Attempt()))
	return nil
}

// sending marks the attempt as sent. If its task no longer waits for it, the attempt becomes REFUSED and is not sent.
func (d *Decision) sending(in Sending) error {
	a := d.Task.AttemptByID(in.Attempt)
	switch {
	case a == nil:
		return fmt.Errorf("attempt %s: %w", in.Attempt, ErrUnknownAttempt)
	case a.Sent:
		return fmt.Errorf("attempt %s: %w", in.Attempt, ErrAlreadySent)
	case a.State != AttemptSubmitting:
		return nil
	case d.Task.State == Submitting && d.awaits(a):
		a.Sent, a.Remote = true, in.Remote
		d.Changed = true
	default:
		d.set(a, AttemptRefused, "the task ended before the attempt was sent")
	}
	return nil
}

func (d *Decision) accept(a *Attempt, in Accepted) {
	if a.Handle == "" && in.Handle != "" { // Also when a callback was faster than the answer.
		a.Handle, d.Changed = in.Handle, true
	}
	switch a.State {
	case AttemptSubmitting, AttemptUnconfirmed, AttemptLost:
	case AttemptRunning, AttemptSucceeded, AttemptFailed, AttemptRefused:
		return // A callback or a check was faster than the answer.
	}
	d.set(a, AttemptRunning, "")
	d.checkAfter(a, in.CheckAfter)
	if d.awaits(a) {
		d.move(Running, a.Number, fmt.Sprintf("%s accepted attempt %d", a.Provider, a.Number))
	}
}

func (d *Decision) refuse(a *Attempt, in Refused) {
	unanswered := a.State == AttemptSubmitting || a.State == AttemptUnconfirmed && a.ProviderTaskID == ""
	if !unanswered {
		return
	}
	if a.HintedTaskID != "" { // A callback says that the provider accepted it, so the refusal proves nothing.
		d.ambiguous(a, Ambiguous{Message: in.Message})
		return
	}
	awaited := d.awaits(a)
	d.set(a, AttemptRefused, in.Message)
	a.Blame = in.Blame
	a.Sent = a.Sent && !in.Unsent
	if !awaited {
		return
	}
	switch {
	case d.adopt(in.Message, a.ID), d.failByLost(a):
	case (in.Reason != "" && !in.Final || in.Elsewhere) && d.moveOn(a.Number, in.Message, in.Known):
	case in.Reason != "":
		d.fail(a, in.Reason, in.Message)
	default:
		d.requeue(a, ProviderFailed, in.Message, in.Delay)
	}
}

// takeOver lets an attempt take the place of one that the database has forgotten. One that was settled since stays as it is.
func (d *Decision) takeOver(in TakenOver) error {
	a := d.Task.AttemptByID(in.Attempt)
	switch {
	case a == nil && d.Task.State == Queued:
		d.Task.Attempts = append(d.Task.Attempts, Attempt{
			ID: in.Attempt, Number: len(d.Task.Attempts) + 1, Provider: d.Task.Provider, State: AttemptSubmitting,
		})
		d.Task.State = Submitting // Without an event: the answer leads on from here.
		d.Changed = true
		a = d.Task.Attempt()
	case a == nil:
		return fmt.Errorf("attempt %s: %w", in.Attempt, ErrUnknownAttempt)
	case a.State != AttemptSubmitting && (a.State != AttemptUnconfirmed || a.ProviderTaskID != "" || in.Outcome == OutcomePending):
		return nil
	}
	before := *a
	a.Sent = true
	if in.Provider != "" {
		a.Provider, a.Account, a.Remote, a.Handle = in.Provider, in.Account, in.Remote, in.Handle
		if !d.Task.State.Terminal() && slices.Contains(d.Task.Route, in.Provider) {
			d.Task.Provider = in.Provider
		}
	}
	d.Changed = d.Changed || *a != before
	switch in.Outcome {
	case OutcomeAccepted:
		a.ProviderTaskID = in.ProviderTaskID
		d.accept(a, Accepted{ProviderTaskID: in.ProviderTaskID})
	case OutcomeRefused:
		d.refuse(a, Refused{Message: in.Message})
	case OutcomeFailed:
		d.generationFailed(a, GenerationFailed{Message: in.Message})
	case OutcomePending:
		d.ambiguous(a, Ambiguous{CheckAfter: in.CheckAfter, Message: "the service was restored to a state before its answer"})
	}
	if d.Event != nil {
		d.Event.Message = "sent before the service was restored: " + d.Event.Message
	}
	return nil
}

// moveOn queues the task for the next provider of its route that has an account, and reports whether there is one.
func (d *Decision) moveOn(attempt int, message string, known []string) bool {
	rest := d.Task.Route[slices.Index(d.Task.Route, d.Task.Provider)+1:]
	next := slices.IndexFunc(rest, isKnown(known))
	if next < 0 || d.Task.paid() >= d.Task.Allowance {
		return false
	}
	d.Task.Provider = rest[next]
	d.move(Queued, attempt, fmt.Sprintf("%s; moving on to %s", message, d.Task.Provider))
	return true
}

// isKnown returns a function that reports whether a provider has an account.
func isKnown(known []string) func(string) bool {
	return func(provider string) bool { return len(known) == 0 || slices.Contains(known, provider) }
}

func (d *Decision) providerBlocked(in ProviderBlocked) {
	if d.Task.State == Queued {
		d.moveOn(0, cmp.Or(in.Message, d.Task.Provider+" takes no submissions now"), in.Known)
	}
}

func (d *Decision) unprepared(in Unprepared) {
	switch {
	case d.Task.State != Queued, d.Task.Provider != in.Provider, d.adopt(in.Message, ""):
	case !in.Final && d.moveOn(0, in.Message, in.Known):
	default:
		d.fail(nil, in.Reason, in.Message)
	}
}

// failByLost fails the task if an attempt newer than a is LOST, and reports whether it did. The newer attempt may have
// been paid for and may still have a result, so only the caller may ask for another one. An older LOST attempt does not
// matter: the caller asked for another attempt after it.
func (d *Decision) failByLost(a *Attempt) bool {
	for i := range d.Task.Attempts[a.Number:] {
		if lost := &d.Task.Attempts[a.Number+i]; lost.State == AttemptLost {
			d.fail(lost, OutcomeUnknown, lost.Message)
			return true
		}
	}
	return false
}

// requeue queues the task for another attempt after a delay. If its allowance is spent, it fails the task with a reason
// instead.
func (d *Decision) requeue(a *Attempt, spent Reason, message string, delay time.Duration) {
	if d.Task.paid() < d.Task.Allowance {
		d.move(Queued, a.Number, message)
		d.RequeueDelay = delay
		return
	}
	d.fail(a, spent, message)
}

func (d *Decision) ambiguous(a *Attempt, in Ambiguous) {
	if a.State != AttemptSubmitting {
		return
	}
	d.set(a, AttemptUnconfirmed, in.Message)
	a.Blame = in.Blame
	d.InTransit = in.InTransit
	d.checkAfter(a, in.CheckAfter)
	if d.awaits(a) {
		d.move(Running, a.Number, fmt.Sprintf(
			"outcome of attempt %d is unknown; waiting for its callback: %s", a.Number, in.Message))
	}
}

// charge records the cost of an attempt. The provider's last word counts.
func (d *Decision) charge(a *Attempt, c Cost) {
	if c != (Cost{}) && c != a.Cost {
		a.Cost = c
		d.Changed = true
	}
}

func (d *Decision) resultReady(a *Attempt, in ResultReady) {
	if a.State == AttemptFailed {
		return
	}
	d.charge(a, in.Cost)
	if a.State == AttemptSucceeded {
		return
	}
	d.set(a, AttemptSucceeded, "")
	switch d.Task.State {
	case Queued, Submitting, Running:
		d.save(a, in.Links, fmt.Sprintf("%s finished attempt %d", a.Provider, a.Number))
	case Failed, Canceled:
		// Not surfaced, but kept: a retry adopts it for free.
		d.enqueue(SaveOutputs{AttemptID: a.ID, Links: in.Links})
	case Saving, Succeeded:
		// The result of another attempt was first.
	}
}

// save moves the task to SAVING with the result of the attempt.
func (d *Decision) save(a *Attempt, links []string, message string) {
	d.Task.Result = a.ID
	d.move(Saving, a.Number, message)
	d.enqueue(SaveOutputs{AttemptID: a.ID, Links: links})
}

func (d *Decision) generationFailed(a *Attempt, in GenerationFailed) {
	if a.State == AttemptFailed || a.State == AttemptRefused || a.Saved {
		return
	}
	saving := d.Task.State == Saving && d.Task.Result == a.ID // A callback claimed a result that is not there.
	concerned := saving || d.awaits(a)
	d.set(a, AttemptFailed, in.Message)
	d.charge(a, in.Cost)
	if !concerned {
		return
	}
	d.Task.Result = ""
	message := fmt.Sprintf("%s reports that attempt %d failed: %s", a.Provider, a.Number, in.Message)
	reason := cmp.Or(in.Reason, ProviderFailed)
	switch {
	case d.adopt(message, a.ID), d.failByLost(a):
	case reason != ProviderFailed && reason != InputUnreachable:
		d.fail(a, reason, message) // Another attempt would end in the same way.
	default:
		d.requeue(a, reason, message, 0)
	}
}

func (d *Decision) hinted(a *Attempt, in Hinted) {
	if a.State == AttemptSucceeded || a.State == AttemptFailed || a.State == AttemptRefused {
		return
	}
	switch {
	case in.Proven: // The provider has a task for the attempt, so it accepted it.
		d.accept(a, Accepted{})
	case a.State == AttemptLost:
		a.State = openState(a)
	}
	if a.ProviderTaskID == "" {
		a.HintedTaskID = in.ProviderTaskID
	}
	d.checkAfter(a, 0)
}

func (d *Decision) giveUp(a *Attempt, in GivenUp) {
	if a.State != AttemptUnconfirmed && a.State != AttemptRunning {
		return
	}
	d.set(a, AttemptLost, in.Message)
	if d.awaits(a) && !d.adopt(in.Message, a.ID) {
		d.fail(a, OutcomeUnknown, in.Message)
	}
}

func (d *Decision) saved(a *Attempt, in Saved) {
	if a.Saved || a.State != AttemptSucceeded {
		return
	}
	a.Saved = true
	d.Changed = true
	d.Outputs, d.OutputsOf = in.Outputs, a.ID
	if d.Task.State == Saving && d.Task.Result == a.ID {
		d.move(Succeeded, a.Number, "outputs saved")
	}
}

func (d *Decision) saveFailed(a *Attempt, in SaveFailed) {
	if d.Task.State == Saving && d.Task.Result == a.ID && !d.adoptOpen(in.Message, a.ID) {
		d.fail(a, in.Reason, in.Message) // A retry can try an older result that could not be saved either.
	}
}
