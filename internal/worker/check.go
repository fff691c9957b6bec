package worker

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
)

const (
	// checkTick is how often due checks are looked for.
	checkTick = 500 * time.Millisecond
	// checkBatch is how many due checks are claimed at a time, and checksAtOnce how many of them are under
	// way at once: enough that a provider which takes more than a second to answer is still asked ten times a
	// second. How many begin in a second is up to the provider's limit.
	checkBatch   = 20
	checksAtOnce = 16
)

// Checker asks a provider about the attempts of an account whose check is due: the safety net under callbacks that are
// lost, late or not to be believed.
type Checker struct {
	*Workers
	upstream *upstream
	nudge    chan struct{}
}

// Checkers returns a checker for each account.
func (w *Workers) Checkers() []*Checker {
	checkers := make([]*Checker, 0, len(w.upstreams))
	for _, u := range w.upstreams {
		checkers = append(checkers, &Checker{Workers: w, upstream: u, nudge: make(chan struct{}, 1)})
	}
	return checkers
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
			c.log.ErrorContext(ctx, "checks are interrupted; callbacks still count", "account", c.upstream.account, "error", err)
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
	checks, err := c.lifecycle.DueChecks(ctx, c.upstream.account, checkBatch)
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
				status, answer = c.upstream.check(ctx, check.ProviderTaskID, visibleSince(check))
			}
			if ctx.Err() != nil {
				return nil // Being stopped says nothing about the attempt.
			}
			if answer != nil {
				c.log.WarnContext(ctx, "check failed; it is repeated", "task_id", check.Task, "attempt_id", check.Attempt,
					"account", c.upstream.account, "error", answer)
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

// visibleSince is when the provider was given the task, which it may not know for a while.
//
// NOTE: the id of a hint is a stranger's word. A provider that does not know it must not be excused for that: the
// attempt would take the id for its own, and the genuine callbacks for another's.
func visibleSince(c lifecycle.Check) time.Time {
	if c.Hinted {
		return time.Time{}
	}
	return c.SubmitTime
}
