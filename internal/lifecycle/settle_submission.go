package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

const (
	// requeueDelay keeps a task whose request never left from admission.
	requeueDelay = 2 * time.Second
	// confirmWait is how long the callback of an attempt with unknown outcome is awaited: providers document up to
	// 20 minutes of work.
	confirmWait = 30 * time.Minute
)

// settleSubmission applies the answer to a submission. This is the one table that says which answers
// let a task be sent again by itself, as a new attempt, and which leave it unknown whether something was
// created:
//
//	answer             created?  the attempt becomes   the task becomes
//	provider task id   yes       RUNNING               RUNNING
//	NotSent            no        REFUSED               QUEUED; the account pauses and is probed
//	RateLimited        no        REFUSED               QUEUED; the account pauses and is probed
//	AccountBlocked     no        REFUSED               QUEUED; the account pauses and is probed, see Plan.MoveOn
//	Rejected           no        REFUSED               QUEUED, at the next provider, else FAILED
//	GenerationFailed   yes       FAILED                QUEUED within the allowance, else FAILED
//	anything else      unknown   UNCONFIRMED           RUNNING, until the callback or the end of the wait
func (l *Lifecycle) settleSubmission(ctx context.Context, id task.AttemptID, providerTaskID string, answer error) error {
	_, err := l.change(ctx, "submission", id, func(t task.Task) (Change, error) {
		a := t.AttemptByID(id)
		in, pause := l.submissionInput(*a, providerTaskID, answer)
		d, err := t.Apply(in)
		c := Change{Decision: d, Pause: pause}
		if answer == nil {
			c.Resume = a.Account
		}
		return c, err
	})
	if err != nil {
		return fmt.Errorf("settle the submission of attempt %s: %w", id, err)
	}
	return nil
}

func (l *Lifecycle) submissionInput(a task.Attempt, providerTaskID string, answer error) (task.Input, *Pause) {
	id, caps := a.ID, l.capabilities(a.Account)
	if answer == nil {
		return task.Accepted{Attempt: id, ProviderTaskID: providerTaskID, CheckAfter: caps.PollInterval}, nil
	}
	pe, ok := errors.AsType[*provider.Error](answer)
	if !ok {
		pe = &provider.Error{Class: provider.Ambiguous, Op: "submit", Err: answer}
	}
	switch pe.Class {
	case provider.NotSent:
		return task.Refused{Attempt: id, Delay: requeueDelay, Message: pe.Error()}, pauseFor(a.Account, pe)
	case provider.RateLimited, provider.AccountBlocked:
		return task.Refused{Attempt: id, Message: pe.Error()}, pauseFor(a.Account, pe)
	case provider.Rejected:
		reason := task.ProviderRejected
		if pe.Input {
			reason = task.InputRejected
		}
		return task.Refused{Attempt: id, Reason: reason, Message: pe.Error(), Known: l.known}, nil
	case provider.GenerationFailed:
		return task.GenerationFailed{Attempt: id, Message: pe.Error()}, nil
	case provider.Ambiguous, provider.NotFound, provider.Unavailable:
	}
	return task.Ambiguous{Attempt: id, CheckAfter: waitForCallback(caps), Message: pe.Error()}, nil
}

// waitForCallback is how long the callback of an attempt with unknown outcome is awaited: not at all where
// none can come.
func waitForCallback(caps provider.Capabilities) time.Duration {
	if caps.Callbacks == provider.NoCallbacks {
		return 0
	}
	return confirmWait
}

// pauseFor is how an account pauses after an error that concerns it.
func pauseFor(account string, pe *provider.Error) *Pause {
	p := Pause{Account: account, Reason: pe.Class.String(), For: 5 * time.Second, Max: time.Minute}
	switch pe.Class {
	case provider.NotSent:
		p.For = 2 * time.Second
	case provider.AccountBlocked:
		p.Reason, p.Blocks = string(pe.Pause), true
		p.For, p.Max = 30*time.Second, time.Hour
	default:
	}
	p.For = max(p.For, pe.RetryAfter)
	p.Max = max(p.Max, pe.RetryAfter)
	return &p
}
