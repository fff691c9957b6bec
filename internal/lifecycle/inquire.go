package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Outcome is the result of an operator's inquiry.
type Outcome string

// The outcomes.
const (
	InquiryConfirming           Outcome = "CONFIRMING"             // The provider is being asked.
	InquirySettled              Outcome = "SETTLED"                // The verdict on the attempt is known.
	InquiryNoProviderTaskID     Outcome = "NO_PROVIDER_TASK_ID"    // There is no provider task id to ask by.
	InquiryAccountNotConfigured Outcome = "ACCOUNT_NOT_CONFIGURED" // The account of the attempt is not configured.
)

// Inquiry is an operator's question to a provider about one attempt.
type Inquiry struct {
	Outcome Outcome
	Task    task.Task
	Attempt *task.Attempt // Nil where the task has none yet.
	Message string
}

// ReplayCallback processes a callback of the inbox again: it makes the next check of its attempt due at once. An attempt that was
// given up is followed again. The answer of the provider is settled like that of any check, and counted as an operator's.
//
// NOTE: the callback proves no more than when it came. The stored one has no signature, and is redacted.
func (l *Lifecycle) ReplayCallback(ctx context.Context, c Callback) (Inquiry, error) {
	var q Inquiry
	t, err := l.change(ctx, "operator", c.AttemptID, func(t task.Task) (change Change, err error) {
		change, q, err = l.inquire(t, t.AttemptByID(c.AttemptID), c.named())
		return change, err
	})
	if err != nil {
		return Inquiry{}, fmt.Errorf("replay a callback of attempt %s: %w", c.AttemptID, err)
	}
	return q.of(t), nil
}

// named returns the provider task id by which the provider may be asked. A callback that was refused, or that contradicted what was
// known, named it without proof: with a URL token alone, a stranger could give the attempt the provider task of another one.
func (c Callback) named() string {
	if c.Verdict == Applied || c.Verdict == Confirming {
		return c.ProviderTaskID
	}
	return ""
}

// CheckTask makes the next check of a task's newest attempt without a verdict due at once. The task may belong to any tenant.
func (l *Lifecycle) CheckTask(ctx context.Context, id task.ID) (Inquiry, error) {
	start := time.Now()
	var q Inquiry
	changed := false
	t, err := l.store.ChangeAnyTask(ctx, id, func(t task.Task) (change Change, err error) {
		change, q, err = l.inquire(t, unsettled(&t), "")
		changed = change.Changed
		return change, err
	})
	if err != nil {
		return Inquiry{}, fmt.Errorf("check: %w", &TaskError{Task: id, Err: err})
	}
	if changed {
		trace(ctx, settleSpans["operator"], &t, q.Attempt, start)
		l.changed(t.ID, t.State)
	}
	return q.of(t), nil
}

// unsettled returns the newest attempt without a verdict, or else the newest of all.
func unsettled(t *task.Task) *task.Attempt {
	for i, a := range slices.Backward(t.Attempts) {
		if a.Open() || a.State == task.AttemptLost {
			return &t.Attempts[i]
		}
	}
	return t.Attempt()
}

// inquire decides whether the provider can be asked about an attempt, and makes its check due. named is the provider task id of a
// callback, if any. The attempt's own id goes first.
func (l *Lifecycle) inquire(t task.Task, a *task.Attempt, named string) (Change, Inquiry, error) {
	q := Inquiry{Attempt: a}
	unchanged := Change{Decision: task.Decision{Task: t}}
	if a == nil {
		q.Outcome, q.Message = InquiryNoProviderTaskID, "the task was not admitted yet, so there is nothing to ask about"
		return unchanged, q, nil
	}
	by := cmp.Or(a.ProviderTaskID, named, a.HintedTaskID)
	_, configured := l.accounts[a.Account]
	switch {
	case !a.Open() && a.State != task.AttemptLost:
		q.Outcome, q.Message = InquirySettled, fmt.Sprintf("attempt %d is %s, so there is nothing to ask", a.Number, a.State)
	case by == "":
		q.Outcome, q.Message = InquiryNoProviderTaskID, fmt.Sprintf("%s has not named attempt %d, so there is nothing to ask by", a.Provider, a.Number)
	case !configured:
		q.Outcome, q.Message = InquiryAccountNotConfigured, fmt.Sprintf("account %s is not configured, so the provider can not be asked", a.Account)
	default:
		q.Outcome, q.Message = InquiryConfirming, fmt.Sprintf("%s is being asked about attempt %d", a.Provider, a.Number)
		if t.State.Terminal() {
			q.Message += "; the task stays " + string(t.State) + ", and a result is kept for a retry"
		}
		d, err := t.Apply(task.Hinted{Attempt: a.ID, ProviderTaskID: by})
		return Change{Decision: d, Asked: err == nil}, q, err
	}
	return unchanged, q, nil
}

// of returns the inquiry with the task as it was stored.
func (q Inquiry) of(t task.Task) Inquiry {
	q.Task = t
	if q.Attempt != nil {
		q.Attempt = t.AttemptByID(q.Attempt.ID)
	}
	return q
}
