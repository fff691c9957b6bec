package explain

import (
	"fmt"
	"strings"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/task"
)

// retryAdvice returns whether a retry helps whose decision is d. The offering is that of the decision's provider, or nil.
func retryAdvice(t *task.Task, d task.Decision, o *catalog.Offering) *Retry {
	if d.Task.State != task.Queued {
		return &Retry{CanHelp: true, Payment: task.PaymentNone, Message: adoption(d)}
	}
	r := &Retry{CanHelp: t.Failure == nil || t.Failure.Reason.Retryable(), Payment: task.PaymentPaid, Price: price(o)}
	cost := "its price is unknown"
	if r.Price != "" {
		cost = "it costs " + r.Price
	}
	attempt := fmt.Sprintf("a retry makes another attempt at %s, which is paid for: %s", d.Task.Provider, cost)
	switch {
	case !r.CanHelp:
		r.Message = "a retry sends the same request again, which would be refused again: submit a new task with another request"
	case t.Failure != nil && t.Failure.Reason == task.OutcomeUnknown:
		r.Message = attempt + "; the attempt whose outcome is unknown may have been paid for, too"
	case t.Failure != nil && t.Failure.Reason == task.InsufficientCredits:
		r.Message = attempt + "; it helps when the account has credits again"
	case t.Failure != nil && t.Failure.Reason == task.InputUnreachable:
		r.Message = attempt + "; it helps when the source can be fetched"
	default:
		r.Message = attempt
	}
	return r
}

// adoption returns what a retry does that makes no new attempt.
func adoption(d task.Decision) string {
	number := 0
	if d.Event != nil {
		number = d.Event.Attempt
	}
	switch d.Task.State {
	case task.Succeeded:
		return fmt.Sprintf("a retry returns the result of attempt %d, which is saved, and costs nothing", number)
	case task.Saving:
		return fmt.Sprintf("a retry saves the result of attempt %d, and costs nothing", number)
	default:
		return fmt.Sprintf("a retry follows attempt %d, which may still bring a result, and costs nothing unless that fails", number)
	}
}

// price returns what an attempt at an offering costs, or nothing if that is unknown.
func price(o *catalog.Offering) string {
	if o == nil || o.Price == nil {
		return ""
	}
	p := o.Price.Amount + " " + o.Price.Currency + " per " + strings.ReplaceAll(string(o.Price.Unit), "_", " ")
	if o.Price.Note != "" {
		p += " (" + o.Price.Note + ")"
	}
	return p
}
