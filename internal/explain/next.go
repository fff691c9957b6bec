package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// outlook is what the service knows about the future of a task.
type outlook struct {
	waiting   *task.Waiting
	callsBack bool          // Whether the provider of the newest attempt sends callbacks.
	usual     time.Duration // How long attempts like the newest one usually take; 0 if that is unknown.
}

// next returns what comes next for a task.
func (r *Record) next(o outlook) Next {
	n := Next{Waiting: o.waiting}
	switch r.Task.State {
	case task.Queued:
		n.Message, n.Time = r.nextQueued(o.waiting)
	case task.Submitting:
		n.Message = fmt.Sprintf("%s answers the submission of attempt %d", r.Task.Provider, r.Task.Attempt().Number)
	case task.Running:
		n.Message, n.Time = r.nextRunning(o)
	case task.Saving:
		n.Message = "the result is copied from " + r.Task.Provider + " to the storage of the service"
		if o.waiting != nil {
			n.Message, n.Time = "saving the result is tried again", o.waiting.Until
		}
	case task.Succeeded, task.Failed, task.Canceled:
		n.Message, n.Time = r.nextEnded()
	}
	return n
}

func (r *Record) nextQueued(w *task.Waiting) (string, time.Time) {
	deadline := ", unless its deadline passes before"
	if w == nil {
		return "the task is sent to " + r.Task.Provider + deadline, time.Time{}
	}
	to := r.Task.Provider
	switch w.Cause {
	case task.WaitAdmission:
		return "the next round of admission sends the task to " + to, time.Time{}
	case task.WaitAdmissionClosed:
		return "the task is sent to " + to + " when an operator has opened admission" + deadline, time.Time{}
	case task.WaitStorage:
		return "the task is sent to " + to + " when results can be stored again" + deadline, time.Time{}
	case task.WaitSource:
		return "the preparation of the source for " + to + " ends" + deadline, time.Time{}
	case task.WaitDelay:
		return "the task is sent to " + to + " again", w.Until
	case task.WaitOffering:
		return "the task is sent to " + to + " when its offering opens" + deadline, time.Time{}
	case task.WaitProviderPaused:
		return "the task is sent to " + to + " when the pause has ended" + deadline, time.Time{}
	case task.WaitTenantShare:
		return "the task is sent to " + to + " when other tasks of the tenant have gone" + deadline, time.Time{}
	case task.WaitInFlightCap:
		return "the task is sent to " + to + " when an attempt there has ended" + deadline, time.Time{}
	case task.WaitRateWindow:
		return "the task is sent to " + to + " when its rate window permits another submission" + deadline, time.Time{}
	default:
		return "the task is sent to " + to + deadline, time.Time{}
	}
}

func (r *Record) nextRunning(o outlook) (string, time.Time) {
	a := r.Task.Attempt()
	check := r.Times[a.ID].NextCheck
	if a.State == task.AttemptUnconfirmed && a.HintedTaskID == "" {
		return fmt.Sprintf("the callback of attempt %d arrives; without one the task fails with %s", a.Number, task.OutcomeUnknown), check
	}
	message := fmt.Sprintf("%s is asked about attempt %d", a.Provider, a.Number)
	if o.callsBack {
		message = fmt.Sprintf("the callback of attempt %d arrives, or %s is asked about it", a.Number, a.Provider)
	}
	if o.usual > 0 {
		message += fmt.Sprintf(" (such attempts usually take %s)", short(o.usual))
	}
	return message, check
}

// nextEnded returns what still happens to a task that has ended.
func (r *Record) nextEnded() (string, time.Time) {
	if len(r.Deliveries) > 0 {
		d := r.Deliveries[0]
		message := fmt.Sprintf("event %d (%s) is sent to a webhook endpoint", d.Revision, d.TaskState)
		if more := len(r.Deliveries) - 1; more > 0 {
			message += fmt.Sprintf(", as are %d other events", more)
		}
		return message, d.Next
	}
	if r.Task.State == task.Succeeded {
		return r.nextExpiry()
	}
	for i := len(r.Task.Attempts) - 1; i >= 0; i-- {
		a := &r.Task.Attempts[i]
		switch {
		case a.Open():
			return fmt.Sprintf("%s is asked about attempt %d, which is followed although the task has ended; its result is kept for a retry", a.Provider, a.Number), r.Times[a.ID].NextCheck
		case a.State == task.AttemptSucceeded && !a.Saved && a.ID != r.Task.Result:
			return fmt.Sprintf("the result of attempt %d is saved, and kept for a retry", a.Number), time.Time{}
		}
	}
	return "nothing, unless the task is retried", time.Time{}
}

// nextExpiry returns when the first output is removed.
func (r *Record) nextExpiry() (string, time.Time) {
	var first time.Time
	for _, o := range r.Task.Outputs {
		if !o.ExpireTime.IsZero() && !o.Expired && (first.IsZero() || o.ExpireTime.Before(first)) {
			first = o.ExpireTime
		}
	}
	if first.IsZero() {
		return "nothing: the task is done", first
	}
	return "the outputs are removed at the end of their retention time", first
}

// short returns a duration without more precision than a reader needs.
func short(d time.Duration) string {
	if d < time.Second {
		return d.String()
	}
	text := d.Round(time.Second).String() // Such as 5m0s.
	if whole, ok := strings.CutSuffix(text, "m0s"); ok {
		return whole + "m"
	}
	return text
}
