package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

const (
	// leastTries is how often a host is tried at least before it is given up, so that a few long timeouts do not decide.
	leastTries = 4
	// maxPause is the longest pause before the next try at a host, and maxUploadPause before that of an upload to a
	// provider, which is not given up before the task's deadline.
	maxPause       = time.Minute
	maxUploadPause = 5 * time.Minute
	// maxAskedPause is the longest pause that a host may ask for.
	maxAskedPause = 15 * time.Minute
	// waitersAtOnce is how many tasks are released or settled at a time.
	waitersAtOnce = 500
	// waitersPause is the pause before tasks are tried again whose rows other transactions had locked.
	waitersPause = 50 * time.Millisecond
)

// make makes one try at a preparation and records the result. A result that can't be recorded is
// repeated after the lease, by any replica.
func (p *Preparer) make(ctx context.Context, c Claimed) {
	began, account := time.Now(), c.Account
	err := p.try(ctx, c)
	if _, configured := p.Accounts[account]; !configured {
		account = "unknown" // It may be of an earlier configuration.
	}
	p.Metrics.tried(ctx, account, began, err)
	if ctx.Err() != nil { // Being stopped says nothing about the source.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := p.Store.GiveBackPreparation(ctx, c); err != nil {
			p.Log.WarnContext(ctx, "an interrupted preparation could not be given back; it goes on when its lease expires", "error", err)
		}
		return
	}
	if err := p.settle(ctx, c, err); err != nil && ctx.Err() == nil {
		p.Log.ErrorContext(ctx, "the result of a preparation could not be recorded; it is repeated", "account", c.Account, "error", err)
	}
}

// try prepares. A preparation for an account that this replica does not have, or for which no task waits any more, counts as made:
// admission finds another account, and a task that needs it again begins another one.
func (p *Preparer) try(ctx context.Context, c Claimed) error {
	at, configured := p.Accounts[c.Account]
	if !configured || c.Source == "" && c.URI == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	return p.Resolver.Prepare(ctx, c.Spec(), c.Account, at)
}

// settle records how a try ended.
func (p *Preparer) settle(ctx context.Context, c Claimed, failure error) error {
	if failure == nil {
		return p.forWaiters(ctx, c, p.Verbs.Prepared)
	}
	p.Log.WarnContext(ctx, "a source could not be prepared", "account", c.Account, "tries", c.Tries+1, "error", failure)
	refused, byProvider := errors.AsType[*provider.Error](failure)
	unreachable, byHost := errors.AsType[*media.UnreachableError](failure)
	_, unfit := errors.AsType[*UnfitError](failure)
	switch {
	case errors.Is(failure, media.ErrStorage): // Whatever else the provider's client made of it.
		return p.again(ctx, c, maxUploadPause, 0, "the source can't be read, since our storage "+media.StorageCause(failure))
	case unfit, byProvider && refused.Class == provider.Rejected:
		return p.fail(ctx, c, failure)
	case byProvider:
		if refused.Class == provider.AccountBlocked {
			fault, err := p.blocked(ctx, c, refused)
			if err != nil {
				return err
			}
			if fault != nil {
				return p.fail(ctx, c, fault)
			}
		}
		public := *refused
		public.Err = nil // It may name addresses.
		return p.again(ctx, c, maxUploadPause, refused.RetryAfter, public.Error())
	case byHost && c.Age >= p.Timing.GiveUp && c.Tries+1 >= leastTries:
		message := fmt.Sprintf("%v, tried %d times in %s", unreachable, c.Tries+1, c.Age.Round(time.Second))
		return p.fail(ctx, c, &UnfitError{Reason: task.InputUnreachable, Message: message, Everywhere: true})
	case byHost:
		return p.again(ctx, c, maxPause, unreachable.RetryAfter, unreachable.Error())
	default: // The failure is ours, and callers must not see it.
		return p.again(ctx, c, maxUploadPause, 0, "")
	}
}

// again delays a preparation, for twice as long with each failure, and at least as long as the host or provider asked.
func (p *Preparer) again(ctx context.Context, c Claimed, longest, asked time.Duration, message string) error {
	pause := min(p.Timing.Backoff<<min(c.Tries, 10), longest)
	return p.Store.DelayPreparation(ctx, c.ID, max(pause, min(asked, maxAskedPause)), message)
}

// fail settles all tasks that wait.
func (p *Preparer) fail(ctx context.Context, c Claimed, cause error) error {
	return p.forWaiters(ctx, c, func(ctx context.Context, waiters []Waiter) error {
		for _, w := range waiters {
			if err := p.Verbs.Unprepared(ctx, w, cause); err != nil {
				return err
			}
		}
		return nil
	})
}

// blocked decides whether a refusal by which an account says that it is blocked pauses the account, or is held against the upload,
// because the account accepts other tasks. When the upload is at fault, it returns the refusal with which the tasks that wait end.
func (p *Preparer) blocked(ctx context.Context, c Claimed, cause *provider.Error) (fault *provider.Error, err error) {
	history, err := p.Store.PreparationRefusals(ctx, c.ID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil //nolint:nilnil // Another replica has ended it.
	}
	if err != nil {
		return nil, err
	}
	blame, fault := p.Verbs.JudgeUpload(history, cause)
	if fault != nil {
		return fault, nil
	}
	if err := p.Store.RefusePreparation(ctx, c.ID, blame); err != nil {
		return nil, err
	}
	if blame == task.BlameAccount {
		return nil, p.block(ctx, c, cause)
	}
	return nil, nil //nolint:nilnil // It is tried again.
}

// block pauses the account, through one of the tasks that wait.
func (p *Preparer) block(ctx context.Context, c Claimed, cause *provider.Error) error {
	waiters, _, err := p.Store.PreparationWaiters(ctx, c.ID, 1)
	if err != nil || len(waiters) == 0 {
		return err
	}
	return p.Verbs.Block(ctx, waiters[0], c.Account, cause)
}

// forWaiters calls a function with the tasks that wait for a preparation, until none waits, and ends the preparation. Tasks that
// join meanwhile are included. Those whose rows other transactions had locked are included once more.
func (p *Preparer) forWaiters(ctx context.Context, c Claimed, each func(context.Context, []Waiter) error) error {
	for last := []Waiter(nil); ; {
		waiters, joined, err := p.Store.PreparationWaiters(ctx, c.ID, waitersAtOnce)
		if errors.Is(err, ErrNotFound) {
			return nil // Another replica has claimed it after its lease, and ended it.
		}
		if err != nil {
			return err
		}
		if len(waiters) > 0 {
			if sameWaiters(waiters, last) && loop.Sleep(ctx, waitersPause) != nil {
				return ctx.Err()
			}
			last = waiters
			if err := each(ctx, waiters); err != nil {
				return err
			}
			continue
		}
		if ended, err := p.Store.EndPreparation(ctx, c.ID, joined); ended || err != nil {
			return err
		}
	}
}

// sameWaiters reports whether two sets of waiters are one. It sorts the first, as it did the second before.
func sameWaiters(waiters, sorted []Waiter) bool {
	slices.SortFunc(waiters, func(a, b Waiter) int { return cmp.Compare(a.Task, b.Task) })
	return slices.Equal(waiters, sorted)
}
