package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// PreviewRetry returns what Retry would decide on a task now, without changing it.
func (l *Lifecycle) PreviewRetry(t task.Task) (task.Decision, error) {
	d, err := t.Apply(task.RetryRequested{Known: l.known})
	if err != nil {
		return d, fmt.Errorf("preview a retry: %w", err)
	}
	return d, nil
}

// UsualDurations returns how long attempts at an account usually take, by the remote name of their model, as Cadence has it. The
// duration is 0 where it is unknown, as it is for an account that is no longer configured.
func (l *Lifecycle) UsualDurations(ctx context.Context, account string) (func(remote string) time.Duration, error) {
	if _, ok := l.accounts[account]; !ok {
		return func(string) time.Duration { return 0 }, nil
	}
	c, err := l.Cadence(ctx, account)
	if err != nil {
		return nil, err
	}
	return func(remote string) time.Duration {
		for _, m := range c.Models {
			if m.Remote == remote {
				return cmp.Or(m.Typical, c.Typical)
			}
		}
		return c.Typical
	}, nil
}

// CallsBack reports whether the provider of an account sends callbacks.
func (l *Lifecycle) CallsBack(account string) bool {
	c := l.capabilities(account).Callbacks
	return c != 0 && c != provider.NoCallbacks
}
