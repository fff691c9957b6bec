package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// SourcePatience is how long is waited for sources. The zero value is the one for production.
type SourcePatience struct {
	// Ready is how long an attempt that holds a permit waits for its source; zero means 2 s: a host that is well answers
	// within one, from wherever it is.
	Ready time.Duration
	// Pause is how long after a failure it is tried again; zero means 1 s. It doubles with each, up to a minute.
	Pause time.Duration
	// GiveUp is for how long a host is tried that does not give a source out; zero means 5 min: longer than a restart, a
	// deployment or a change of DNS takes, and shorter than a caller likes to wait for the news that a link is wrong.
	GiveUp time.Duration
}

func (p SourcePatience) withDefaults() SourcePatience {
	return SourcePatience{
		Ready: cmp.Or(p.Ready, 2*time.Second), Pause: cmp.Or(p.Pause, time.Second), GiveUp: cmp.Or(p.GiveUp, 5*time.Minute),
	}
}

const (
	// leastTries is how often a host is tried at least before it is given up, so that a few long silences do not decide.
	leastTries = 4
	// maxPause is the longest pause before the next try at a host, and maxUploadPause before that of an upload to a
	// provider, which is not given up before the task's deadline.
	maxPause       = time.Minute
	maxUploadPause = 5 * time.Minute
	// maxAskedPause is the longest pause that a host may ask for.
	maxAskedPause = 15 * time.Minute
	// waitersAtOnce is how many tasks learn at a time that their source is ready, or that it can't be had.
	waitersAtOnce = 500
	// waitersPause is the rest before tasks are tried again whose rows other transactions held.
	waitersPause = 50 * time.Millisecond
)

// make makes one try at a preparation and records the result. A result that can't be recorded is
// repeated after the lease, by any replica.
func (p *Preparer) make(ctx context.Context, c source.Claimed) {
	err := p.try(ctx, c)
	if ctx.Err() != nil { // Being stopped says nothing about the source.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := p.Preparations.GiveBackPreparation(ctx, c); err != nil {
			p.Log.WarnContext(ctx, "a preparation that was cut goes on after its lease", "error", err)
		}
		return
	}
	if err := p.settle(ctx, c, err); err != nil && ctx.Err() == nil {
		p.Log.ErrorContext(ctx, "what became of a preparation could not be written down; it is repeated", "account", c.Account, "error", err)
	}
}

// try prepares. A preparation that this replica can't make, or for which no task waits any more, counts as made: admission finds
// another account, and a task that comes back begins anew.
func (p *Preparer) try(ctx context.Context, c source.Claimed) error {
	at, configured := p.Accounts[c.Account]
	if !configured || c.Source == "" && c.URI == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	return p.Sources.Prepare(ctx, c.Spec(), c.Account, at)
}

// settle writes down how a try ended.
func (p *Preparer) settle(ctx context.Context, c source.Claimed, failure error) error {
	if failure == nil {
		return p.tell(ctx, c, p.Lifecycle.Prepared)
	}
	p.Log.WarnContext(ctx, "a source could not be prepared", "account", c.Account, "tries", c.Tries+1, "error", failure)
	refused, byProvider := errors.AsType[*provider.Error](failure)
	unreachable, byHost := errors.AsType[*media.UnreachableError](failure)
	_, unfit := errors.AsType[*source.UnfitError](failure)
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
	case byHost && c.Age >= p.Patience.GiveUp && c.Tries+1 >= leastTries:
		message := fmt.Sprintf("%v, tried %d times in %s", unreachable, c.Tries+1, c.Age.Round(time.Second))
		return p.fail(ctx, c, &source.UnfitError{Reason: task.InputUnreachable, Message: message, Everywhere: true})
	case byHost:
		return p.again(ctx, c, maxPause, unreachable.RetryAfter, unreachable.Error())
	default: // The trouble is ours, and callers must not see it.
		return p.again(ctx, c, maxUploadPause, 0, "")
	}
}

// again puts a preparation off, for twice as long with each failure, and for as long as it was asked.
func (p *Preparer) again(ctx context.Context, c source.Claimed, longest, asked time.Duration, message string) error {
	pause := min(p.Patience.Pause<<min(c.Tries, 10), longest)
	return p.Preparations.DelayPreparation(ctx, c.ID, max(pause, min(asked, maxAskedPause)), message)
}

// fail settles all tasks that wait.
func (p *Preparer) fail(ctx context.Context, c source.Claimed, cause error) error {
	return p.tell(ctx, c, func(ctx context.Context, waiters []source.Waiter) error {
		for _, w := range waiters {
			if err := p.Lifecycle.Unprepared(ctx, w, cause); err != nil {
				return err
			}
		}
		return nil
	})
}

// blocked decides whether a refusal that an account gives for its own sake pauses it, or is held against the upload, since the
// account accepts other tasks. It returns the refusal by which those who wait end, when it has been held so often enough.
func (p *Preparer) blocked(ctx context.Context, c source.Claimed, cause *provider.Error) (fault *provider.Error, err error) {
	history, err := p.Preparations.PreparationRefusals(ctx, c.ID)
	if errors.Is(err, source.ErrNotFound) {
		return nil, nil //nolint:nilnil // Another replica has ended it.
	}
	if err != nil {
		return nil, err
	}
	blame, fault := lifecycle.JudgeUpload(history, cause)
	if fault != nil {
		return fault, nil
	}
	if err := p.Preparations.RefusePreparation(ctx, c.ID, blame); err != nil {
		return nil, err
	}
	if blame == task.BlameAccount {
		return nil, p.block(ctx, c, cause)
	}
	return nil, nil //nolint:nilnil // It is tried again.
}

// block pauses the account, through one of the tasks that wait.
func (p *Preparer) block(ctx context.Context, c source.Claimed, cause *provider.Error) error {
	waiters, _, err := p.Preparations.PreparationWaiters(ctx, c.ID, 1)
	if err != nil || len(waiters) == 0 {
		return err
	}
	return p.Lifecycle.Block(ctx, waiters[0], c.Account, cause)
}

// tell calls a function with the tasks that wait for a preparation, until none waits, and ends the preparation. Tasks that join
// meanwhile are included, and so are, once more, those whose rows other transactions held.
func (p *Preparer) tell(ctx context.Context, c source.Claimed, each func(context.Context, []source.Waiter) error) error {
	for last := []source.Waiter(nil); ; {
		waiters, joined, err := p.Preparations.PreparationWaiters(ctx, c.ID, waitersAtOnce)
		if errors.Is(err, source.ErrNotFound) {
			return nil // Another replica, which took it for left behind, has ended it.
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
		if ended, err := p.Preparations.EndPreparation(ctx, c.ID, joined); ended || err != nil {
			return err
		}
	}
}

// sameWaiters reports whether two sets of waiters are one. It sorts the first, as it did the second before.
func sameWaiters(waiters, sorted []source.Waiter) bool {
	slices.SortFunc(waiters, func(a, b source.Waiter) int { return cmp.Compare(a.Task, b.Task) })
	return slices.Equal(waiters, sorted)
}
