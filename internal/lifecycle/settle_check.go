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

// How long attempts are followed.
const (
	followFor = 24 * time.Hour   // Results expire at the provider within a day.
	lostAfter = time.Hour        // A provider that does not know a task by then has lost it; work takes 20 minutes.
	slowCheck = 10 * time.Minute // An attempt whose task ended is checked this often.
)

// Check is a question to the provider about an attempt.
type Check struct {
	Attempt        task.AttemptID
	Task           task.ID
	Account        string
	ProviderTaskID string        // The attempt's, or the hinted one; empty when its outcome is unknown.
	Remote, Handle string        // As in task.Attempt.
	Hinted         bool          // Whether the attempt has no provider task id of its own: ProviderTaskID is a hint's, or empty.
	Asked          bool          // Whether an operator asked for the check.
	TraceParent    string        // As in task.Task.
	Age            time.Duration // Since the attempt was admitted,
	SubmitAge      time.Duration // and since its submission was answered; both on the database's clock.
}

// Cadence is how often the attempts of an account are checked. An attempt whose task is terminal is checked in the period Slow.
type Cadence struct {
	Pace                 // Of attempts of models that are not in Models.
	Slow   time.Duration // At least as long as any period Every.
	Models []ModelPace
}

// Pace is how often open attempts are checked: in the period Every around the time at which such attempts usually end, and less often
// long before and long after it.
type Pace struct {
	Every   time.Duration
	Typical time.Duration // How long attempts usually take.
}

// ModelPace is the pace of a model by its remote name.
type ModelPace struct {
	Remote string
	Pace
}

// Cadence returns how often the attempts of an account are checked. How long they take is learned, for each model, from those that
// succeeded lately; until there are some, it is what the catalog says of the offering, or else the provider's documents of its API.
func (l *Lifecycle) Cadence(ctx context.Context, account string) (Cadence, error) {
	p := l.accounts[account]
	caps := p.Capabilities()
	c := Cadence{Pace: Pace{Every: caps.PollInterval, Typical: caps.TypicalDuration}, Slow: max(slowCheck, caps.PollInterval)}
	learned, err := l.store.TypicalDurations(ctx, account)
	if err != nil {
		return c, fmt.Errorf("learn how long attempts at %s take: %w", account, err)
	}
	c.Typical = cmp.Or(learned[""], c.Typical)
	for _, m := range l.catalog().Models() {
		o := m.At(p.Name())
		if o == nil {
			continue
		}
		pace := Pace{Every: cmp.Or(o.PollInterval, c.Every), Typical: cmp.Or(learned[o.Remote], o.UsualDuration, caps.TypicalDuration)}
		c.Models = append(c.Models, ModelPace{Remote: o.Remote, Pace: pace})
		c.Slow = max(c.Slow, pace.Every)
	}
	return c, nil
}

// DueChecks returns attempts of an account whose check is due, at most limit. Each is due again by the cadence, whether or not its
// check is settled.
func (l *Lifecycle) DueChecks(ctx context.Context, account string, c Cadence, limit int) ([]Check, error) {
	checks, err := l.store.ClaimChecks(ctx, account, c, limit)
	if err != nil {
		return nil, fmt.Errorf("claim due checks of %s: %w", account, err)
	}
	return checks, nil
}

// SettleCheck applies what the provider answered about an attempt, or that there is no provider task id to ask by.
func (l *Lifecycle) SettleCheck(ctx context.Context, c Check, s provider.Status, answer error) error {
	if c.ProviderTaskID == "" {
		if settled, err := l.settleByRecord(ctx, c.Attempt); settled || err != nil {
			return err
		}
	}
	in := l.checkInput(c, s, answer)
	if in == nil {
		return nil // The next check is scheduled already.
	}
	by := "check"
	if c.Asked {
		by = "operator"
	}
	_, err := l.change(ctx, by, c.Attempt, func(t task.Task) (Change, error) {
		if a := t.AttemptByID(c.Attempt); c.Hinted && a.ProviderTaskID != "" && a.ProviderTaskID != c.ProviderTaskID {
			return Change{Decision: task.Decision{Task: t}}, nil // The provider has named it since: the answer is about another task.
		}
		d, err := t.Apply(in)
		return Change{Decision: d}, err
	})
	if errors.Is(err, ErrProviderTaskTaken) { // A hint named it, so there is nothing to ask by.
		c.ProviderTaskID = ""
		return l.SettleCheck(ctx, c, provider.Status{}, nil)
	}
	if err != nil {
		return fmt.Errorf("settle the check of attempt %s: %w", c.Attempt, err)
	}
	return nil
}

func (l *Lifecycle) checkInput(c Check, s provider.Status, answer error) task.Input {
	wait := waitForCallback(l.capabilities(c.Account))
	switch {
	case c.ProviderTaskID == "" && c.Age >= wait:
		return task.GivenUp{Attempt: c.Attempt, Message: fmt.Sprintf(
			"no answer, and no callback within %s: it is unknown whether the provider took the attempt", wait)}
	case c.ProviderTaskID == "":
		return nil // The wait for the callback goes on.
	case answer == nil:
		return statusInput(c, s)
	case provider.ClassOf(answer) == provider.NotFound && c.Age >= lostAfter:
		return task.GivenUp{Attempt: c.Attempt, Message: "the provider does not know the task: " + answer.Error()}
	case c.Age >= followFor:
		return task.GivenUp{Attempt: c.Attempt, Message: "the provider gave no verdict in time: " + answer.Error()}
	default:
		return nil
	}
}

func statusInput(c Check, s provider.Status) task.Input {
	switch s.Phase {
	case provider.Succeeded:
		return task.ResultReady{Attempt: c.Attempt, ProviderTaskID: c.ProviderTaskID, Cost: task.Cost(s.Cost)}
	case provider.Failed:
		return failedInput(c.Attempt, c.ProviderTaskID, s)
	case provider.Running:
	}
	switch {
	case c.Hinted:
		return task.Hinted{Attempt: c.Attempt, ProviderTaskID: c.ProviderTaskID, Proven: true}
	case c.Age >= followFor:
		return task.GivenUp{Attempt: c.Attempt, Message: "the provider gave no verdict in time"}
	default:
		return nil
	}
}

// failedInput returns what it means for an attempt that its provider task failed.
func failedInput(id task.AttemptID, providerTaskID string, s provider.Status) task.Input {
	return task.GenerationFailed{Attempt: id, ProviderTaskID: providerTaskID, Reason: reasons[s.Cause], Message: failureMessage(s), Cost: task.Cost(s.Cost)}
}

// reasons are what a provider's causes mean for the task. A cause that is not in it is PROVIDER_FAILED.
var reasons = map[provider.Cause]task.Reason{
	provider.CauseModerated:        task.ContentModerated,
	provider.CauseInputRejected:    task.InputRejected,
	provider.CauseInputUnreachable: task.InputUnreachable,
	provider.CauseInputTooLarge:    task.InputTooLarge,
	provider.CauseInputUnsupported: task.InputUnsupported,
	provider.CauseOutOfCredits:     task.InsufficientCredits,
}

func failureMessage(s provider.Status) string {
	if s.Code == 0 {
		return fmt.Sprintf("%q", s.Message)
	}
	return fmt.Sprintf("code %d: %q", s.Code, s.Message)
}
