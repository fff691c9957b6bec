package dispatch

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

const (
	// looksAtOnce is how many sources a replica looks at at a time, and uploadsAtOnce how many uploaded ones it hands to
	// providers. An upload lasts minutes where a look lasts seconds, so they have places of their own. They are shared as by
	// package fair: eight looks are at one host of a tenant at most, and four uploads go to one account for it.
	looksAtOnce   = 32
	uploadsAtOnce = 16
	// prepareTimeout bounds one try: an upload to a provider lasts up to 10 minutes.
	prepareTimeout = 12 * time.Minute
	// prepareTick is how often preparations are looked for that are due, or that another replica left behind.
	prepareTick = time.Second
	// prepareLease is how long no other replica takes up a preparation that is under way, and prepareRenewal how often
	// the lease is renewed: after the death of a replica another one goes on when the lease is over.
	prepareLease   = 20 * time.Second
	prepareRenewal = 5 * time.Second
)

// Preparations keeps what is to be prepared, over all replicas.
type Preparations interface {
	// BeginPreparation makes sure that a source is being prepared.
	BeginPreparation(ctx context.Context, p source.Preparation) error
	// ClaimPreparations takes up preparations that are due.
	ClaimPreparations(ctx context.Context, want source.Claim) ([]source.Claimed, error)
	// RenewPreparations prolongs the leases of preparations.
	RenewPreparations(ctx context.Context, ids []source.PreparationID, lease time.Duration) error
	// DelayPreparation says that a preparation failed, and when it is due again. The message is for callers.
	DelayPreparation(ctx context.Context, id source.PreparationID, delay time.Duration, message string) error
	// PreparationRefusals returns what is known of an account that refused an upload now, or source.ErrNotFound.
	PreparationRefusals(ctx context.Context, id source.PreparationID) (task.RefusalHistory, error)
	// RefusePreparation counts that an account refused an upload for the account's sake, and what that is held against.
	RefusePreparation(ctx context.Context, id source.PreparationID, blame task.Blame) error
	// GiveBackPreparation makes a preparation due at once that this replica does not go on with.
	GiveBackPreparation(ctx context.Context, c source.Claimed) error
	// PreparationWaiters returns tasks that wait for a preparation, and a number that changes with each that joins them.
	PreparationWaiters(ctx context.Context, id source.PreparationID, limit int) (waiters []source.Waiter, joined int64, err error)
	// EndPreparation ends a preparation, unless that number has changed.
	EndPreparation(ctx context.Context, id source.PreparationID, joined int64) (bool, error)
}

// Preparer prepares in the background what submissions did not wait for: it looks at sources on slow hosts, tries again
// what may heal, and hands uploaded sources to providers. What it works on is in the database, so a replica that stops or
// dies loses nothing but the try.
type Preparer struct {
	Config

	nudge chan struct{}

	mu     sync.Mutex
	making map[source.PreparationID]source.Claimed // What is under way here.
	end    chan struct{}                           // Closed when the next preparation ends here.
}

func newPreparer(cfg Config) *Preparer {
	return &Preparer{
		Config: cfg, nudge: make(chan struct{}, 1), making: map[source.PreparationID]source.Claimed{}, end: make(chan struct{}),
	}
}

// Nudge says that there may be something to prepare. It never blocks.
func (p *Preparer) Nudge() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// Run prepares until ctx ends, which cuts what is under way and leaves it to others.
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
		case <-p.nudge:
		case <-tick.C:
		case <-renewal.C:
			if err := p.renew(ctx); err != nil && ctx.Err() == nil {
				p.Log.WarnContext(ctx, "preparations under way may be begun elsewhere, too", "error", err)
			}
		}
	}
}

// round takes up what is due, as far as there are places.
func (p *Preparer) round(ctx context.Context, making *sync.WaitGroup) error {
	if err := p.fill(ctx, making, false, looksAtOnce); err != nil {
		return err
	}
	return p.fill(ctx, making, true, uploadsAtOnce)
}

// fill takes up what is due of one kind, as far as it has places. It takes half of the free ones at a time, and looks for more
// where it found something, so that each tenant's share follows from what the others have taken.
func (p *Preparer) fill(ctx context.Context, making *sync.WaitGroup, uploaded bool, places int) error {
	made := p.made(uploaded)
	free := places
	for _, n := range made {
		free -= n
	}
	if free <= 0 {
		return nil
	}
	claimed, err := p.Preparations.ClaimPreparations(ctx, source.Claim{Uploaded: uploaded, Free: free, Made: made, Lease: prepareLease})
	if err != nil {
		return err
	}
	if len(claimed) > 0 {
		p.Nudge()
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
func (p *Preparer) made(uploaded bool) map[source.Party]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := map[source.Party]int{}
	for _, m := range p.making {
		if (m.Source != "") == uploaded {
			n[m.Party]++
		}
	}
	return n
}

// renew prolongs what is under way here.
func (p *Preparer) renew(ctx context.Context) error {
	p.mu.Lock()
	ids := slices.Collect(maps.Keys(p.making))
	p.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return p.Preparations.RenewPreparations(ctx, ids, prepareLease)
}

// leave gives a place back, and wakes what waits here.
func (p *Preparer) leave(id source.PreparationID) {
	p.mu.Lock()
	delete(p.making, id)
	close(p.end)
	p.end = make(chan struct{})
	p.mu.Unlock()
	p.Nudge()
}

// ended is closed when the next preparation ends here.
func (p *Preparer) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end
}
