package source

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

const (
	// looksAtOnce is how many sources behind URIs a replica probes at a time, and uploadsAtOnce how many uploaded ones it hands to
	// providers. An upload takes minutes and a probe seconds, so they have places of their own. Package fair shares them: at most
	// eight probes of a tenant are at one host, and four of its uploads go to one account.
	looksAtOnce   = 32
	uploadsAtOnce = 16
	// prepareTimeout bounds one try: an upload to a provider takes up to 10 minutes.
	prepareTimeout = 12 * time.Minute
	// prepareTick is how often a replica looks for preparations that are due, or whose lease has expired.
	prepareTick = time.Second
	// prepareLease is how long a preparation belongs to the replica that claimed it, and prepareRenewal how often that replica
	// renews the lease. After a replica dies another one claims the preparation when the lease expires.
	prepareLease   = 20 * time.Second
	prepareRenewal = 5 * time.Second
)

// Preparations keeps what is to be prepared, for all replicas.
type Preparations interface {
	// BeginPreparation makes sure that a source is being prepared.
	BeginPreparation(ctx context.Context, p Preparation) error
	// ClaimPreparations claims preparations that are due.
	ClaimPreparations(ctx context.Context, want Claim) ([]Claimed, error)
	// RenewPreparations renews the leases of preparations.
	RenewPreparations(ctx context.Context, ids []PreparationID, lease time.Duration) error
	// DelayPreparation records that a try failed, and when the next one is due. The message is for callers.
	DelayPreparation(ctx context.Context, id PreparationID, delay time.Duration, message string) error
	// PreparationRefusals returns how an account that refuses an upload now answered before, or ErrNotFound.
	PreparationRefusals(ctx context.Context, id PreparationID) (task.RefusalHistory, error)
	// RefusePreparation counts a refusal of an upload by which the account says that it is blocked, and who is held responsible.
	RefusePreparation(ctx context.Context, id PreparationID, blame task.Blame) error
	// GiveBackPreparation makes a preparation due at once that this replica does not finish.
	GiveBackPreparation(ctx context.Context, c Claimed) error
	// PreparationWaiters returns tasks that wait for a preparation, and a number that changes with each task that joins them. It
	// returns ErrNotFound when the preparation has ended.
	PreparationWaiters(ctx context.Context, id PreparationID, limit int) (waiters []Waiter, joined int64, err error)
	// EndPreparation ends a preparation, unless that number has changed.
	EndPreparation(ctx context.Context, id PreparationID, joined int64) (bool, error)
}

// Verbs change the tasks that wait for a source. Package lifecycle implements them.
type Verbs interface {
	// Prepared makes tasks whose source is ready eligible for admission.
	Prepared(ctx context.Context, waiters []Waiter) error
	// Unprepared settles a task whose source can't be prepared: with an UnfitError, or with the refusal of a *provider.Error.
	Unprepared(ctx context.Context, w Waiter, cause error) error
	// Block pauses the account that refused an upload, which a task waits for.
	Block(ctx context.Context, w Waiter, account string, cause *provider.Error) error
	// JudgeUpload decides whether the account or the upload is held responsible for a refusal. fault is the refusal with which the
	// tasks that wait end, when the upload is at fault.
	JudgeUpload(h task.RefusalHistory, answer *provider.Error) (blame task.Blame, fault *provider.Error)
}

// Timing is how long sources are waited for. The zero value is for production.
type Timing struct {
	// SubmitWait is how long an attempt that holds a permit waits for its source; zero means 2 s. A healthy host answers within
	// 1 s from anywhere.
	SubmitWait time.Duration
	// Backoff is the pause after a first failed try; zero means 1 s. It doubles with each failure, up to a minute.
	Backoff time.Duration
	// GiveUp is how long a host is tried that does not serve a source; zero means 5 min. That is longer than a restart, a
	// deployment or a change of DNS takes, and short enough for a caller to learn soon that a link is wrong.
	GiveUp time.Duration
}

func (t Timing) withDefaults() Timing {
	return Timing{
		SubmitWait: cmp.Or(t.SubmitWait, 2*time.Second), Backoff: cmp.Or(t.Backoff, time.Second), GiveUp: cmp.Or(t.GiveUp, 5*time.Minute),
	}
}

// PreparerConfig is what a preparer works with.
type PreparerConfig struct {
	Store    Preparations
	Verbs    Verbs
	Resolver *Resolver
	Accounts map[string]Account // By name.
	Timing   Timing
	Metrics  *Metrics // Nil measures nothing.
	Log      *slog.Logger
}

// Preparer prepares in the background the sources that submissions did not wait for: it probes sources on slow hosts, repeats
// what failed, and hands uploaded sources to providers. Its work is in the database, so a replica that stops or dies loses only
// the current try.
type Preparer struct {
	PreparerConfig

	wake loop.Signal // There may be something to prepare.

	mu     sync.Mutex
	making map[PreparationID]Claimed // What is under way here.
	end    chan struct{}             // Closed when the next preparation ends here.
}

// NewPreparer returns a preparer, which must run.
func NewPreparer(cfg PreparerConfig) *Preparer {
	cfg.Timing = cfg.Timing.withDefaults()
	return &Preparer{PreparerConfig: cfg, wake: loop.NewSignal(), making: map[PreparationID]Claimed{}, end: make(chan struct{})}
}

// Run prepares until ctx ends, which stops the tries under way and leaves them to other replicas.
func (p *Preparer) Run(ctx context.Context) error {
	var making sync.WaitGroup
	defer making.Wait()
	tick, renewal := time.NewTicker(prepareTick), time.NewTicker(prepareRenewal)
	defer tick.Stop()
	defer renewal.Stop()
	for {
		if err := p.round(ctx, &making); err != nil && ctx.Err() == nil {
			p.Log.ErrorContext(ctx, "the preparation of sources is interrupted; tasks whose sources are not ready wait", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-tick.C:
		case <-renewal.C:
			if err := p.renew(ctx); err != nil && ctx.Err() == nil {
				p.Log.WarnContext(ctx, "leases of preparations could not be renewed; other replicas may begin them as well", "error", err)
			}
		}
	}
}

// round claims what is due, as far as there are places.
func (p *Preparer) round(ctx context.Context, making *sync.WaitGroup) error {
	if err := p.fill(ctx, making, false, looksAtOnce); err != nil {
		return err
	}
	return p.fill(ctx, making, true, uploadsAtOnce)
}

// fill claims what is due of one kind, as far as it has places. It claims for half of the free places at a time, and wakes the
// loop for more when it found something, so that each tenant's share follows from what the others hold.
func (p *Preparer) fill(ctx context.Context, making *sync.WaitGroup, uploaded bool, places int) error {
	made := p.made(uploaded)
	free := places
	for _, n := range made {
		free -= n
	}
	if free <= 0 {
		return nil
	}
	claimed, err := p.Store.ClaimPreparations(ctx, Claim{Uploaded: uploaded, Free: free, Made: made, Lease: prepareLease})
	if err != nil {
		return err
	}
	if len(claimed) > 0 {
		p.wake.Send()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range claimed {
		p.making[c.ID] = c
		making.Go(func() {
			defer p.leave(c.ID)
			p.make(ctx, c)
		})
	}
	return nil
}

// made counts what is under way here of one kind.
func (p *Preparer) made(uploaded bool) map[Party]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := map[Party]int{}
	for _, m := range p.making {
		if (m.Source != "") == uploaded {
			n[m.Party]++
		}
	}
	return n
}

// renew renews the leases of what is under way here.
func (p *Preparer) renew(ctx context.Context) error {
	p.mu.Lock()
	ids := slices.Collect(maps.Keys(p.making))
	p.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return p.Store.RenewPreparations(ctx, ids, prepareLease)
}

// leave releases a place, and wakes the submissions that wait here.
func (p *Preparer) leave(id PreparationID) {
	p.mu.Lock()
	delete(p.making, id)
	close(p.end)
	p.end = make(chan struct{})
	p.mu.Unlock()
	p.wake.Send()
}

// ended returns a channel that is closed when the next preparation ends here.
func (p *Preparer) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end
}
