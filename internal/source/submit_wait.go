package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/provider"
)

// ErrNotReady means that the source of an attempt was not ready in time, or could not be probed now.
var ErrNotReady = errors.New("the source is not ready")

const (
	// slowWait is how long the attempts of a tenant wait whose sources are slow at the moment,
	slowWait = 200 * time.Millisecond
	// slowMemory is how long that moment lasts,
	slowMemory = 10 * time.Second
	// slowTenants is of how many tenants that is remembered.
	slowTenants = 1000
	// submitLooksAtOnce is how many submissions of a replica may read their task and look at its source at a time. Package fair
	// shares the places: one tenant has half of them at most, and of those one host half.
	submitLooksAtOnce = 32
	// submitLooksWaiting is how many submissions wait for such a place.
	submitLooksWaiting = 256
	// elsewhere is how often a submission looks whether another replica has handed a source over.
	elsewhere = 400 * time.Millisecond
)

// SubmitPlaces is how many submissions can look at their source, or wait for a place to do so, at a time.
const SubmitPlaces = submitLooksAtOnce + submitLooksWaiting

// SubmitWaits lets submissions wait shortly for their sources. It may be used concurrently.
//
// A submission holds a permit and a worker while it waits, so it waits only shortly, and not for a second try. A source that is not
// ready then is left to the preparer, and the submission gives its permit back. The wait comes before the attempt counts as sent, so
// a failure costs nothing.
type SubmitWaits struct {
	preparer *Preparer
	slow     slowSources
	gate     *fair.Gate // By tenant and host of the source.
}

// NewSubmitWaits returns the waits of submissions, which leave what takes longer to a preparer.
func NewSubmitWaits(p *Preparer) *SubmitWaits {
	return &SubmitWaits{preparer: p, gate: fair.New(submitLooksAtOnce, submitLooksWaiting)}
}

// Begin waits for a place to look at a source. The context that it returns ends when the submission has waited for long enough, and
// end releases the place. The error is ErrNotReady, or that of ctx.
//
// NOTE: a submission needs its place before it reads anything. Otherwise the submissions of one tenant would take all connections
// to the database.
func (s *SubmitWaits) Begin(ctx context.Context, c fair.Claim) (waiting context.Context, end func(), err error) {
	limit := s.preparer.Timing.SubmitWait
	if s.slow.is(c.Tenant) {
		limit = min(limit, slowWait)
	}
	waiting, cancel := context.WithTimeoutCause(ctx, limit, ErrNotReady)
	leave, err := s.gate.Acquire(waiting, c)
	if err != nil {
		cancel()
		return nil, nil, cmp.Or(ctx.Err(), ErrNotReady)
	}
	return waiting, func() { leave(); cancel() }, nil
}

// URI returns the URI under which an account gets a source. waiting is a context of Begin. A refusal, which is an UnfitError or a
// *provider.Error, settles the attempt. After ErrNotReady the attempt is given back, and its source is prepared in the background.
// Every other error is that of the context from which waiting was made.
func (s *SubmitWaits) URI(waiting context.Context, p Preparation, at Account) (string, error) {
	uri, err := s.look(waiting, p, at)
	if err == nil {
		return uri, nil
	}
	timedOut := waiting.Err() != nil
	if cause := context.Cause(waiting); timedOut && !errors.Is(cause, ErrNotReady) {
		return "", cause
	}
	if Refusal(err) {
		return "", err
	}
	if timedOut && !errors.Is(err, ErrNotHanded) { // An upload to the provider does not depend on the host.
		s.slow.add(p.Tenant)
	}
	return "", fmt.Errorf("%w: %w", ErrNotReady, err)
}

// look waits until a source is ready. One that has to be handed to the provider is left to the preparer.
func (s *SubmitWaits) look(ctx context.Context, p Preparation, at Account) (string, error) {
	for begun := false; ; begun = true {
		ended := s.preparer.ended()
		uri, err := s.preparer.Resolver.Look(ctx, p.Spec(), p.Account, at)
		if !errors.Is(err, ErrNotHanded) {
			return uri, err
		}
		if !begun {
			if err := s.preparer.Store.BeginPreparation(ctx, p); err != nil {
				return "", err
			}
			s.preparer.wake.Send()
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-ended:
		case <-time.After(elsewhere):
		}
	}
}

// Wake wakes the preparer: an attempt was given back, so there is something to prepare. It does not block.
func (s *SubmitWaits) Wake() { s.preparer.wake.Send() }

// Refusal reports whether an error settles an attempt that was not sent.
func Refusal(err error) bool {
	_, unfit := errors.AsType[*UnfitError](err)
	_, refused := errors.AsType[*provider.Error](err)
	return unfit || refused
}

// slowSources remembers for a moment which tenants have slow sources, so that a tenant with many of them does not hold permits and
// workers for long with each. The zero value remembers none.
type slowSources struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (s *slowSources) is(tenant string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.until[tenant])
}

func (s *slowSources) add(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil || len(s.until) >= slowTenants {
		s.until = map[string]time.Time{} // The forgotten tenants cost one more wait each.
	}
	s.until[tenant] = time.Now().Add(slowMemory)
}
