package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Send sends an attempt to its provider, at most once ever, and settles what came of it. deliver makes
// the one call to the provider. An attempt that is not to be sent, because its task was canceled or its
// deadline passed, is refused without a call; one that was begun before and never answered, because the
// process died, becomes unconfirmed. deliver is nil where the attempt was not to be sent a moment ago, so that its
// source was not made ready; when it is to be sent after all, since a retry adopted it, Send does nothing and returns
// ErrUnprepared.
func (l *Lifecycle) Send(ctx context.Context, id task.AttemptID, deliver func(context.Context, task.Task) (string, error)) error {
	t, err := l.change(ctx, "submission", id, func(t task.Task) (Change, error) {
		d, err := t.Apply(task.Sending{Attempt: id})
		if err == nil && deliver == nil && d.Task.AttemptByID(id).Sent {
			err = ErrUnprepared
		}
		return Change{Decision: d}, err
	})
	switch {
	case errors.Is(err, task.ErrAlreadySent):
		return l.settleSubmission(ctx, id, "", &provider.Error{
			Class: provider.Ambiguous, Op: "submit", Err: errStopped,
		})
	case err != nil:
		return fmt.Errorf("begin to send attempt %s: %w", id, err)
	}
	if t.AttemptByID(id).State != task.AttemptSubmitting {
		return nil // Refused before it was sent.
	}
	providerTaskID, deliverErr := deliver(ctx, t)
	return l.settleAnswer(ctx, id, providerTaskID, deliverErr)
}

// answerWait is how long the answer may still come that somebody else waits for: calls last 30 seconds at most.
const answerWait = 30 * time.Second

// SettleTimeout is how long an answer is held while the database is out of reach: longer than a failover takes.
const SettleTimeout = 2 * time.Minute

// settleAnswer settles a submission even when the caller is being shut down, and for as long as a failover of
// the database takes: an answer that is not written down makes a paid attempt unconfirmed.
func (l *Lifecycle) settleAnswer(ctx context.Context, id task.AttemptID, providerTaskID string, answer error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), SettleTimeout)
	defer cancel()
	for {
		err := l.settleSubmission(ctx, id, providerTaskID, answer)
		if err == nil || errors.Is(err, task.ErrProviderTaskMismatch) || errors.Is(err, ErrAttemptNotFound) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the provider's answer is lost, its task id is %q: %w", providerTaskID, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
