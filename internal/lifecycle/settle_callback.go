package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Verdict is the result of a callback.
type Verdict string

// The verdicts. The first five are answered 200; the last three are refused.
const (
	Applied      Verdict = "applied"       // It settled the attempt.
	Confirming   Verdict = "confirming"    // The provider is asked to confirm it, and nothing is believed until then.
	Duplicate    Verdict = "duplicate"     // It says what was known.
	Conflict     Verdict = "conflict"      // It contradicts what is known.
	Mismatch     Verdict = "mismatch"      // It names another provider task than the attempt's.
	BadSignature Verdict = "bad_signature" // Its signature is missing or wrong.
	Stale        Verdict = "stale"         // Its timestamp is outside the window.
	Malformed    Verdict = "malformed"     // It is not a callback.
)

// Verdicts are all verdicts.
var Verdicts = []Verdict{Applied, Confirming, Duplicate, Conflict, Mismatch, BadSignature, Stale, Malformed}

// refusedCallbacks is how many refused callbacks of one attempt are kept.
const refusedCallbacks = 8

// Callback is a callback as the inbox keeps it.
type Callback struct {
	AttemptID      task.AttemptID
	Account        string
	ProviderTaskID string
	Verdict        Verdict
	Body           []byte // As received, but for our URL token, which is redacted.
	Intake         *Intake
}

// Intake says where a callback waited that an ingress stored before it was settled. Nil means that it is settled as it arrives.
type Intake struct {
	ID          int64     // The row that is removed in the transaction that settles the callback.
	ReceiveTime time.Time // When the ingress stored it, by the clock of the database.
}

// SettleCallback appends a callback to the inbox and applies it, in one transaction, and returns its verdict.
//
// NOTE: what a callback changes depends on what its signature proves. A proven body is believed, links included. A proven id with a
// result moves the task to SAVING, where the links are read from the provider and not from the callback. Every other callback only
// triggers a question to the provider. So a forged body can't end a task, nor make us store another file.
//
// A callback that another account at the provider signed is provider.ErrCallbackSignature, and nothing is kept of it.
func (l *Lifecycle) SettleCallback(ctx context.Context, c Callback, said provider.Callback) (Verdict, error) {
	pinned, err := l.signers.pinned(ctx, c.Account, said)
	if err != nil {
		return "", err
	}
	verdict, err := l.settleCallback(ctx, c, said, pinned, callbackInput)
	if errors.Is(err, errUnpinned) {
		if pinned, err = l.signers.pin(ctx, c.Account, said.Signer); err != nil {
			return "", err
		}
		verdict, err = l.settleCallback(ctx, c, said, pinned, callbackInput)
	}
	if errors.Is(err, ErrProviderTaskTaken) {
		verdict, err = l.settleCallback(ctx, c, said, pinned, func(task.Task, task.AttemptID, provider.Callback) (task.Input, Verdict) {
			return nil, Mismatch
		})
	}
	if err != nil {
		return "", fmt.Errorf("settle a callback of attempt %s: %w", c.AttemptID, err)
	}
	return verdict, nil
}

// settleCallback applies what a callback means. A nil input means nothing.
func (l *Lifecycle) settleCallback(
	ctx context.Context, c Callback, said provider.Callback, pinned string,
	means func(task.Task, task.AttemptID, provider.Callback) (task.Input, Verdict),
) (Verdict, error) {
	_, err := l.change(ctx, "callback", c.AttemptID, func(t task.Task) (Change, error) {
		said, err := trusted(t.AttemptByID(c.AttemptID), said, pinned)
		if err != nil {
			return Change{}, err
		}
		in, verdict := means(t, c.AttemptID, said)
		d := task.Decision{Task: t}
		if in != nil {
			if d, err = t.Apply(in); errors.Is(err, task.ErrProviderTaskMismatch) {
				verdict = Mismatch
			} else if err != nil {
				return Change{}, err
			}
		}
		c.Verdict = verdict
		return Change{Decision: d, Callback: &c}, nil
	})
	if err != nil {
		return "", err // c.Verdict does not count, and may still be written: see Decide.
	}
	return c.Verdict, nil
}

// callbackInput returns what a callback means for its attempt, and the verdict if it is applied. A nil input changes nothing.
func callbackInput(t task.Task, id task.AttemptID, said provider.Callback) (task.Input, Verdict) {
	a := t.AttemptByID(id)
	switch {
	case a.ProviderTaskID != "" && a.ProviderTaskID != said.ProviderTaskID:
		return nil, Mismatch
	case a.State == task.AttemptSucceeded || a.State == task.AttemptFailed:
		if (a.State == task.AttemptSucceeded) == (said.Status.Phase == provider.Succeeded) {
			return nil, Duplicate
		}
		return nil, Conflict
	case said.Proof == provider.ProofBody && said.Status.Phase == provider.Succeeded:
		return task.ResultReady{Attempt: id, ProviderTaskID: said.ProviderTaskID, Links: said.Status.ResultURLs, Cost: task.Cost(said.Status.Cost)}, Applied
	case said.Proof == provider.ProofID && said.Status.Phase == provider.Succeeded:
		return task.ResultReady{Attempt: id, ProviderTaskID: said.ProviderTaskID}, Applied
	case a.State == task.AttemptRefused:
		return nil, Conflict
	case said.Proof == provider.ProofBody && said.Status.Phase == provider.Failed:
		return failedInput(id, said.ProviderTaskID, said.Status), Applied
	default:
		return task.Hinted{Attempt: id, ProviderTaskID: said.ProviderTaskID, Proven: said.Proof != provider.ProofNone}, Confirming
	}
}

// RefuseCallback keeps a refused callback with its verdict, within a bound per attempt.
func (l *Lifecycle) RefuseCallback(ctx context.Context, c Callback) error {
	if err := l.inbox.KeepCallback(ctx, c, refusedCallbacks); err != nil {
		return fmt.Errorf("keep a refused callback of attempt %s: %w", c.AttemptID, err)
	}
	return nil
}
