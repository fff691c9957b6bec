package worker

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/refract-video/refract/internal/provider"
)

const (
	// checkTick is how often due checks are looked for.
	checkTick = 500 * time.Millisecond
	// checkBatch is how many due checks are claimed at a time, and checksAtOnce how many of them are under
	// way at once: at the provider's usual answer in under half a second, within its 10 queries a second.
	checkBatch   = 20
	checksAtOnce = 4
)

// Checker asks a provider about the attempts whose check is due: the safety net under callbacks that are
// lost, late or not to be believed.
type Checker struct {
	*Workers
	provider provider.Provider
	nudge    chan struct{}
}

// NewChecker returns the checker of one provider.
func (w *Workers) NewChecker(p provider.Provider) *Checker {
	return &Checker{Workers: w, provider: p, nudge: make(chan struct{}, 1)}
}

// Nudge says that a check may have become due. It never blocks.
func (c *Checker) Nudge() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// Run checks until ctx ends. What fails is due again after the provider's poll interval.
func (c *Checker) Run(ctx context.Context) error {
	ticker := time.NewTicker(checkTick)
	defer ticker.Stop()
	for {
		found, err := c.round(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "checks are interrupted; callbacks still count", "provider", c.provider.Name(), "error", err)
		}
		if found == checkBatch && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.nudge:
		case <-ticker.C:
		}
	}
}

func (c *Checker) round(ctx context.Context) (int, error) {
	checks, err := c.lifecycle.DueChecks(ctx, c.provider.Name(), checkBatch)
	if err != nil {
		return 0, err
	}
	var g errgroup.Group
	g.SetLimit(checksAtOnce)
	for _, check := range checks {
		g.Go(func() error {
			var status provider.Status
			var answer error
			if check.ProviderTaskID != "" {
				status, answer = c.ask(ctx, c.provider, check.ProviderTaskID, check.SubmitTime)
			}
			if ctx.Err() != nil {
				return nil // Being stopped says nothing about the attempt.
			}
			if answer != nil {
				c.log.WarnContext(ctx, "check failed; it is repeated", "task_id", check.Task, "attempt_id", check.Attempt,
					"provider", c.provider.Name(), "error", answer)
			}
			if err := c.lifecycle.SettleCheck(ctx, check, status, answer); err != nil {
				c.log.ErrorContext(ctx, "check could not be settled; it is repeated", "task_id", check.Task,
					"attempt_id", check.Attempt, "error", err)
			}
			return nil
		})
	}
	return len(checks), g.Wait()
}
