package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Send sends an attempt to its provider, at most once ever, and settles the answer. deliver makes the one call to the provider. An
// attempt whose task was canceled, or whose deadline passed, is refused without a call. An attempt that was begun before and never
// answered, because the process died, becomes unconfirmed. deliver is nil if the attempt was not to be sent when its source was
// looked at, so its source was not prepared. If it is to be sent after all, because a retry adopted it, Send does nothing and
// returns ErrUnprepared.
func (l *Lifecycle) Send(ctx context.Context, id task.AttemptID, deliver func(context.Context, task.Task) (string, error)) error {
	// NOTE: the time is read before the transaction begins, so the deadlines that follow from it are no later than those
	// of a replica that finds the attempt sent and counts from then.
	start := time.Now()
	t, err := l.change(ctx, "submission", id, func(t task.Task) (Change, error) {
		d, err := t.Apply(task.Sending{Attempt: id})
		if err == nil && deliver == nil && d.Task.AttemptByID(id).Sent {
			err = ErrUnprepared
		}
		return Change{Decision: d}, err
	})
	switch {
	case errors.Is(err, task.ErrAlreadySent):
		stopped := &provider.Error{Class: provider.Ambiguous, Op: "submit", Err: errStopped}
		return l.settleSubmission(ctx, id, answer{err: stopped, arriveBy: start.Add(arriveWithin)})
	case err != nil:
		return fmt.Errorf("begin to send attempt %s: %w", id, err)
	}
	if t.AttemptByID(id).State != task.AttemptSubmitting {
		return nil // Refused before it was sent.
	}
	got := answer{arriveBy: start.Add(arriveWithin)}
	sending, cancel := context.WithDeadline(provider.WithSendBy(ctx, start.Add(SendTimeout)), got.arriveBy)
	defer cancel()
	got.providerTaskID, got.err = deliver(sending, t)
	return l.settleAnswer(ctx, id, got)
}

// The timeouts of a submission. Together they bound when its request can arrive, also if the process that sends it loses the
// database, or is suspended and continues later.
const (
	// SendTimeout is how long after the commit of sent the request may leave. Later it does not leave: see provider.MaySend.
	SendTimeout = 10 * time.Second
	// AnswerTimeout is how long after that the request may arrive, and its answer may come.
	AnswerTimeout = 30 * time.Second
	// arriveWithin is how long after the commit of sent the request may arrive at the provider.
	//
	// NOTE: with a shorter one, a replica that settles the attempt of another gives its permit to a second request
	// before the first one has arrived, and the provider sees more than its limit.
	arriveWithin = SendTimeout + AnswerTimeout
)

// SettleTimeout is how long an answer is kept in memory while the database is out of reach: longer than a failover takes.
const SettleTimeout = 2 * time.Minute

// settleAnswer settles a submission also while the process shuts down, and tries for longer than a failover of the database takes:
// without the answer, a paid attempt becomes unconfirmed.
func (l *Lifecycle) settleAnswer(ctx context.Context, id task.AttemptID, got answer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), SettleTimeout)
	defer cancel()
	for {
		err := l.settleSubmission(ctx, id, got)
		if err == nil || errors.Is(err, task.ErrProviderTaskMismatch) || errors.Is(err, ErrAttemptNotFound) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the provider's answer is lost, its task id is %q: %w", got.providerTaskID, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
