package admission

import (
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// QueuePosition describes what a QUEUED task waits for.
type QueuePosition struct {
	Usages     []Usage
	Ahead      int         // How many tasks of the tenant go first.
	NotBefore  time.Time   // When the task may be admitted; zero means now.
	Source     *SourceWait // The preparation of its source that the task waits for; nil if there is none.
	TenantOpen int         // How many attempts the tenant has open.
	TenantMax  int         // How many attempts it may have open; 0 means any number.
	Closed     *Closure    // Of the offering that the task waits for; nil if it is open.
	Storage    string      // Why no replica can store results; empty if one can.
}

// SourceWait is the state of the preparation of a task's source.
type SourceWait struct {
	Message string    // Why the last try failed; empty if none failed.
	Until   time.Time // When the next try is due; zero while a try is in progress.
}

// Waiting returns the first cause that keeps the task from going to a provider, and the task's place in its tenant's queue.
func (p QueuePosition) Waiting(provider string) task.Waiting {
	w := p.cause(provider)
	w.Place = p.Ahead + 1
	return w
}

func (p QueuePosition) cause(provider string) task.Waiting {
	if p.Storage != "" {
		return task.Waiting{Cause: task.WaitStorage, Message: "results can't be stored, because the storage " + p.Storage + "; nothing is sent to " + provider + " until the storage works again"}
	}
	if c := p.Closed; c != nil && !c.Opened {
		return task.Waiting{Cause: task.WaitOffering, Until: c.Until, Message: c.String()}
	}
	if w := p.Source; w != nil {
		message := "its source is being checked, or uploaded to " + provider
		if w.Message != "" {
			message = w.Message + "; it is tried again"
		}
		return task.Waiting{Cause: task.WaitSource, Until: w.Until, Message: message}
	}
	if !p.NotBefore.IsZero() {
		return task.Waiting{Cause: task.WaitDelay, Until: p.NotBefore, Message: "the previous attempt did not reach the provider, or was refused while others were accepted; another attempt follows"}
	}
	if w, paused := p.paused(provider); paused {
		return w
	}
	if p.TenantMax > 0 && p.TenantOpen >= p.TenantMax {
		return task.Waiting{Cause: task.WaitTenantShare, Message: fmt.Sprintf("the tenant has %d open attempts, and its limit is %d", p.TenantOpen, p.TenantMax)}
	}
	permits, window, inFlight := 0, 0, 0
	for _, u := range p.Usages {
		if u.Paused {
			continue
		}
		permits += u.Permits()
		window += u.WindowLeft()
		inFlight += u.InFlightLeft()
	}
	switch {
	case permits > p.Ahead:
		return task.Waiting{Cause: task.WaitAdmission, Message: "a permit is free; the next round of admission takes the task"}
	case inFlight == 0:
		return task.Waiting{Cause: task.WaitInFlightCap, Message: "the maximum number of attempts is in flight at " + provider}
	case window == 0:
		return task.Waiting{Cause: task.WaitRateWindow, Message: "the rate window of " + provider + " is used up"}
	case permits == 0:
		return task.Waiting{Cause: task.WaitProviderPaused, Message: provider + " was paused and is being probed with one attempt at a time"}
	default:
		return task.Waiting{Cause: task.WaitTenantShare, Message: fmt.Sprintf("%d tasks of the tenant go first", p.Ahead)}
	}
}

// paused reports whether every account at the provider is paused, and until when.
func (p QueuePosition) paused(provider string) (task.Waiting, bool) {
	w := task.Waiting{Cause: task.WaitProviderPaused, Message: "no account of " + provider + " is configured"}
	for i, u := range p.Usages {
		if !u.Paused {
			return task.Waiting{}, false
		}
		if i == 0 || u.PausedUntil.Before(w.Until) {
			w.Until = u.PausedUntil
			w.Message = fmt.Sprintf("account %s is paused: %s", u.Account, u.PauseReason)
		}
	}
	return w, true
}
