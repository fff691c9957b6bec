package lifecycle

import (
	"cmp"
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
	// confirmWait is how long an attempt with unknown outcome waits for its callback: providers document up to 20 minutes of
	// work.
	confirmWait = 30 * time.Minute
)

// answer is the answer to a submission.
type answer struct {
	receipt  provider.Receipt
	err      error
	arriveBy time.Time // The latest time at which the request can arrive; zero if it has arrived.
}

// settleSubmission applies the answer to a submission as submissionRules says.
func (l *Lifecycle) settleSubmission(ctx context.Context, id task.AttemptID, got answer) error {
	inTransit := max(time.Until(got.arriveBy), 0) // Before the transaction, from whose beginning it counts.
	history, err := l.refusalHistory(ctx, id, got)
	if err != nil {
		return fmt.Errorf("settle the submission of attempt %s: %w", id, err)
	}
	_, err = l.change(ctx, "submission", id, func(t task.Task) (Change, error) {
		a := t.AttemptByID(id)
		s := l.answered(t, *a, got, inTransit)
		rule := s.rule()
		if !ourOwnDoing(got.err) { // Otherwise it says nothing about the provider.
			s.judgment = rule.judge(history, s.err)
		}
		d, err := t.Apply(rule.Effect.input(s))
		c := Change{Decision: d, Offering: l.offeringUpdate(t, a, s.err)}
		if s.judgment.pauses() && (d.Changed || rule.Created == CreatedNo) {
			c.Pause = rule.pause(a.Account, s)
			c.Pause.Met = a.CreateTime
		}
		if got.err == nil {
			c.Resume = &Resume{Account: a.Account, Admitted: a.CreateTime}
		}
		return c, err
	})
	if errors.Is(err, ErrProviderTaskTaken) {
		return l.settleSubmission(ctx, id, answer{err: &provider.Error{Class: provider.Ambiguous, Op: "submit", Err: err}})
	}
	if err != nil {
		return fmt.Errorf("settle the submission of attempt %s: %w", id, err)
	}
	return nil
}

// answered returns a submission of an attempt with its answer. A code proves that the request arrived.
func (l *Lifecycle) answered(t task.Task, a task.Attempt, got answer, inTransit time.Duration) answered {
	s := answered{
		attempt: a.ID, receipt: got.receipt, err: refusal(got.err), caps: l.capabilities(a.Account), known: l.known,
	}
	s.checkAfter = s.caps.PollInterval
	if o := l.catalog().Offering(a.Provider, t.Spec.Model); o != nil {
		s.checkAfter = cmp.Or(o.PollInterval, s.checkAfter)
	}
	if s.err != nil && s.err.Code == 0 {
		s.inTransit = inTransit
	}
	return s
}

// errStopped is the outcome of an attempt that another process began to send. That process has died, or it is cut off from
// the database and still waits for the answer.
var errStopped = errors.New("the service stopped while the attempt was being sent")

// ourOwnDoing reports whether an answer is missing because of us.
func ourOwnDoing(answer error) bool {
	return errors.Is(answer, errStopped) || errors.Is(answer, context.Canceled)
}

// refusal returns an answer as a provider's error, or nil for an acceptance. An error of another type is Ambiguous.
func refusal(answer error) *provider.Error {
	if answer == nil {
		return nil
	}
	if pe, ok := errors.AsType[*provider.Error](answer); ok {
		return pe
	}
	return &provider.Error{Class: provider.Ambiguous, Op: "submit", Err: answer}
}

func (a answered) rule() SubmissionRule {
	switch {
	case a.err == nil:
		return ruleFor(Accepted)
	case a.err.Class == Accepted:
		return ruleFor(provider.Ambiguous)
	default:
		return ruleFor(a.err.Class)
	}
}

// waitForCallback returns how long an attempt with unknown outcome waits for its callback: not at all if the provider makes none.
func waitForCallback(caps provider.Capabilities) time.Duration {
	if caps.Callbacks == provider.NoCallbacks {
		return 0
	}
	return confirmWait
}

// pause returns how an account pauses after an answer, or nil.
func (r SubmissionRule) pause(account string, s answered) *Pause {
	if r.Pause == nil {
		return nil
	}
	p := *r.Pause
	p.Account, p.Reason = account, cmp.Or(p.Reason, string(s.err.Pause), r.Class.String())
	p.Asked = s.err.RetryAfter
	return &p
}
