package dispatch

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tracing"
	"github.com/refract-video/refract/internal/upstream"
)

const (
	// checkTick is how often the checker looks for due checks.
	checkTick = 500 * time.Millisecond
	// checkBatch is how many due checks are claimed at a time: as many as the strictest documented limit lets begin in two
	// seconds, so that a check that a callback brings forward waits no longer. The next batch is claimed when these have begun,
	// whether or not they were answered.
	checkBatch = 20
	// checksAtOnce bounds the checks under way: a provider that takes 20 s to answer still gets ten questions a second.
	checksAtOnce = 200
	// claimAhead is how long before their turn checks are claimed, so that the provider's time is not lost to the
	// database's.
	claimAhead = 200 * time.Millisecond
	// learnEvery is how often the checker reads how long attempts take.
	learnEvery = time.Minute
)

// Checker asks a provider about the attempts of an account whose check is due. It finds the results of attempts whose callbacks
// are lost, late or without proof.
type Checker struct {
	lifecycle *lifecycle.Lifecycle
	log       *slog.Logger
	upstream  *upstream.Account
	wake      loop.Signal         // A check may have become due.
	places    *semaphore.Weighted // Of checks under way.
	underway  sync.WaitGroup
	mu        sync.Mutex
	asking    map[task.AttemptID]chan struct{} // The attempts that are being asked about; closed when that is over.

	cadence lifecycle.Cadence
	learned time.Time // When the cadence was; zero for never.
}

// NewChecker returns a checker of an account, which wake makes look before its time.
func NewChecker(account *upstream.Account, verbs *lifecycle.Lifecycle, wake loop.Signal, log *slog.Logger) *Checker {
	return &Checker{lifecycle: verbs, log: log, upstream: account, wake: wake, places: semaphore.NewWeighted(checksAtOnce), asking: map[task.AttemptID]chan struct{}{}}
}

// Run checks until ctx ends. What fails is due again after the provider's poll interval.
func (c *Checker) Run(ctx context.Context) error {
	defer c.underway.Wait()
	ticker := time.NewTicker(checkTick)
	defer ticker.Stop()
	for {
		found, next, err := c.round(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "checks are interrupted; callbacks still count", "account", c.upstream.ID, "error", err)
		}
		if found == checkBatch && loop.Sleep(ctx, time.Until(next.Add(-claimAhead))) == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-ticker.C:
		}
	}
}

// round claims due checks when there is room for a batch, and begins them. It returns how many there were, and when the
// next may be asked.
func (c *Checker) round(ctx context.Context) (found int, next time.Time, err error) {
	if err := c.learn(ctx); err != nil {
		return 0, next, err
	}
	if err := c.places.Acquire(ctx, checkBatch); err != nil {
		return 0, next, err
	}
	checks, err := c.lifecycle.DueChecks(ctx, c.upstream.ID, c.cadence, checkBatch)
	c.places.Release(int64(checkBatch - len(checks)))
	if len(checks) == 0 {
		return 0, next, err
	}
	next, err = c.upstream.Reserve(ctx, questions(checks))
	if err != nil {
		c.places.Release(int64(len(checks)))
		return 0, next, err
	}
	for _, check := range checks {
		turn := next
		c.underway.Go(func() {
			defer c.places.Release(1)
			c.check(ctx, turn, check)
		})
		if check.ProviderTaskID != "" {
			next = next.Add(c.upstream.Pause)
		}
	}
	return len(checks), next, nil
}

// questions returns how many checks have a provider task id to ask by.
func questions(checks []lifecycle.Check) int {
	n := 0
	for _, check := range checks {
		if check.ProviderTaskID != "" {
			n++
		}
	}
	return n
}

// learn brings the cadence up to date now and then.
func (c *Checker) learn(ctx context.Context) error {
	if !c.learned.IsZero() && time.Since(c.learned) < learnEvery {
		return nil
	}
	cadence, err := c.lifecycle.Cadence(ctx, c.upstream.ID)
	if err == nil {
		c.cadence, c.learned = cadence, time.Now()
	}
	return err
}

// check asks the provider about an attempt at a reserved time, if it has a provider task id, and settles the answer.
func (c *Checker) check(ctx context.Context, at time.Time, check lifecycle.Check) {
	ctx = tracing.Resume(ctx, check.TraceParent)
	var status provider.Status
	var answer error
	if check.ProviderTaskID != "" {
		done, ok := c.alone(ctx, check.Attempt)
		if !ok {
			return
		}
		defer done()
		status, answer = c.upstream.Query(ctx, at, provider.Query{TaskID: check.ProviderTaskID, Remote: check.Remote, Handle: check.Handle}, age(check))
	}
	if ctx.Err() != nil {
		return // A stop says nothing about the attempt.
	}
	if answer != nil {
		c.log.WarnContext(ctx, "check failed; it is repeated", "task_id", check.Task, "attempt_id", check.Attempt,
			"account", c.upstream.ID, "error", answer, "cause", plain.Hidden(answer))
	}
	if status.Unread != "" {
		c.log.WarnContext(ctx, "the provider reports success with links that can't be read; they are asked for again", "task_id", check.Task,
			"attempt_id", check.Attempt, "account", c.upstream.ID, "links", len(status.ResultURLs), "answer", status.Unread)
	}
	if err := c.lifecycle.SettleCheck(ctx, check, status, answer); err != nil {
		c.log.ErrorContext(ctx, "check could not be settled; it is repeated", "task_id", check.Task,
			"attempt_id", check.Attempt, "error", err)
	}
}

// alone waits until no other check asks about an attempt, so that callbacks that come during a question lead to one question at a
// time. It returns false when ctx ended first.
func (c *Checker) alone(ctx context.Context, id task.AttemptID) (done func(), ok bool) {
	for {
		c.mu.Lock()
		other, busy := c.asking[id]
		if !busy {
			over := make(chan struct{})
			c.asking[id] = over
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.asking, id)
				c.mu.Unlock()
				close(over)
			}, true
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, false
		}
	}
}

// age returns how long ago the provider got the task. A provider may not know a new task for a while.
//
// NOTE: the id of a hint comes without proof. A provider that does not know the id must not get the grace period of a new task:
// otherwise the attempt would adopt the id, and take its genuine callbacks for those of another attempt.
func age(c lifecycle.Check) time.Duration {
	if c.Hinted {
		return math.MaxInt64
	}
	return c.SubmitAge
}
