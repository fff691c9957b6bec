package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// How long things wait after a refusal.
const (
	requeueDelay  = 2 * time.Second  // A task whose request never left is kept from admission so long.
	rateLimitWait = 5 * time.Second  // An account that got a 429 without Retry-After is paused so long.
	blockedWait   = 30 * time.Second // An account in trouble is paused so long at first.
)

// settleSubmission applies the answer to a submission. This is the one table that says which answers
// let a task be sent again by itself, as a new attempt, and which leave it unknown whether something was
// created:
//
//	answer             created?  the attempt becomes   the task becomes
//	provider task id   yes       RUNNING               RUNNING
//	NotSent            no        REFUSED               QUEUED, for a while
//	RateLimited        no        REFUSED               QUEUED; the account pauses
//	AccountBlocked     no        REFUSED               QUEUED, at the next provider; the account pauses and is probed
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
		return task.Refused{Attempt: id, Delay: requeueDelay, Message: pe.Error()}, nil
	case provider.RateLimited:
		return task.Refused{Attempt: id, Message: pe.Error()}, pauseFor(a.Account, pe)
	case provider.AccountBlocked:
		return task.Refused{Attempt: id, Definite: true, Message: pe.Error()}, pauseFor(a.Account, pe)
	case provider.Rejected:
		reason := task.ProviderRejected
		if pe.Input {
			reason = task.InputRejected
		}
		return task.Refused{Attempt: id, Definite: true, Reason: reason, Message: pe.Error()}, nil
	case provider.GenerationFailed:
		return task.GenerationFailed{Attempt: id, Message: pe.Error()}, nil
	case provider.Ambiguous, provider.NotFound, provider.Unavailable:
	}
	return task.Ambiguous{Attempt: id, CheckAfter: l.waitForCallback(caps), Message: pe.Error()}, nil
}

// waitForCallback is how long the callback of an attempt with unknown outcome is awaited: not at all where
// none can come.
func (l *Lifecycle) waitForCallback(caps provider.Capabilities) time.Duration {
	if caps.Callbacks == provider.NoCallbacks {
		return 0
	}
	return l.confirmWait
}

// pauseFor is how an account pauses after an error, or nil where the error is not about the account.
func pauseFor(account string, pe *provider.Error) *Pause {
	p := Pause{Account: account, For: pe.RetryAfter}
	switch pe.Class {
	case provider.RateLimited:
		p.Reason = pe.Class.String()
		p.For = max(p.For, rateLimitWait)
	case provider.AccountBlocked:
		p.Reason, p.Probe = string(pe.Pause), true
		p.For = max(p.For, blockedWait)
	default:
		return nil
	}
	return &p
}
