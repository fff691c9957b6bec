package dispatch

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// Sources makes sources reachable for providers.
type Sources interface {
	// Look returns the URI under which a provider account gets the source of a task, or says with a source.UnfitError
	// why it can't, or with source.ErrNotHanded that the source has to be prepared first. Every other error passes.
	Look(ctx context.Context, spec task.Spec, account string, at source.Account) (uri string, err error)
	// Prepare does what Look asks for. It may also fail with the *provider.Error of an upload.
	Prepare(ctx context.Context, spec task.Spec, account string, at source.Account) error
}

// errSourceNotReady means that the source of an attempt was not ready in time, or could not be looked at now.
var errSourceNotReady = errors.New("the source is not ready")

const (
	// shortPatience is how long the attempts of a tenant wait whose sources are slow at the moment,
	shortPatience = 200 * time.Millisecond
	// slowMemory is how long that moment lasts,
	slowMemory = 10 * time.Second
	// slowTenants is of how many tenants that is remembered.
	slowTenants = 1000
	// submitLooksAtOnce is how many submissions one replica lets read their task and look at its source at a time. They share
	// the places as by package fair: one tenant has half of them at most, and of those one host half.
	submitLooksAtOnce = 32
	// submitLooksWaiting is how many submissions wait for such a place.
	submitLooksWaiting = 256
	// submitsAtOnce is how many submissions one replica can send at a time while all places to look and to wait are taken.
	// Admission bounds how many are sent, and shares them among tenants.
	submitsAtOnce = 32
	// submitWorkers are the workers of the queue. They are more than slow sources can hold, so every job finds one.
	submitWorkers = submitLooksAtOnce + submitLooksWaiting + submitsAtOnce
)

// ready returns the URI of the source of an attempt that is about to be sent, and nothing for one that will not be. It
// comes before the attempt counts as sent, so whatever fails here is not paid for. The attempt holds a permit and a worker
// meanwhile, so it waits only shortly, and not for the sake of a second try: with errSourceNotReady the source is prepared in
// the background, without a permit.
//
// NOTE: the wait for a place comes before anything is read. Otherwise the submissions of one tenant would take all connections
// to the database.
func (s *Submitter) ready(ctx context.Context, job *river.Job[task.SubmitAttempt]) (string, error) {
	patience := s.Patience.Ready
	if s.slow.is(job.Args.Tenant) {
		patience = min(patience, shortPatience)
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	leave, err := s.gate.Acquire(waiting, fair.Claim{Tenant: job.Args.Tenant, Host: job.Args.Host, Due: job.CreatedAt})
	if err != nil {
		s.Log.DebugContext(ctx, "attempt given back: the places for sources are taken", "attempt_id", job.Args.AttemptID, "cause", err)
		return "", cmp.Or(ctx.Err(), errSourceNotReady)
	}
	defer leave()
	return s.readyWithin(ctx, waiting, job.Args.AttemptID)
}

// readyWithin is ready with a place. It waits for the source until waiting ends.
func (s *Submitter) readyWithin(ctx, waiting context.Context, id task.AttemptID) (string, error) {
	t, err := s.Tasks.TaskOfAttempt(ctx, id)
	if err != nil {
		return "", err
	}
	a := t.AttemptByID(id)
	if a.Sent || a.State != task.AttemptSubmitting || t.State != task.Submitting {
		return "", nil
	}
	u, err := s.Accounts.Of(a.Account)
	if err != nil {
		return "", &provider.Error{Class: provider.NotSent, Op: "submit", Err: err}
	}
	uri, err := s.look(waiting, source.PreparationOf(t, a.Account), u)
	switch {
	case err == nil:
		return uri, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case refusal(err):
		s.Log.WarnContext(ctx, "attempt is not sent", "task_id", t.ID, "attempt_id", id, "account", a.Account, "error", err)
		return "", err
	}
	if waiting.Err() != nil && !errors.Is(err, source.ErrNotHanded) { // An upload to the provider is not the host's doing.
		s.slow.add(t.Tenant)
	}
	s.Log.InfoContext(ctx, "the source of an attempt is prepared first", "task_id", t.ID, "attempt_id", id, "account", a.Account, "cause", err)
	return "", errSourceNotReady
}

// look waits until a source is ready; one that has to be handed to the provider is left to the preparer.
func (s *Submitter) look(ctx context.Context, p source.Preparation, at source.Account) (string, error) {
	for begun := false; ; begun = true {
		ended := s.preparer.ended()
		uri, err := s.Sources.Look(ctx, p.Spec(), p.Account, at)
		if !errors.Is(err, source.ErrNotHanded) {
			return uri, err
		}
		if !begun {
			if err := s.Preparations.BeginPreparation(ctx, p); err != nil {
				return "", err
			}
			s.preparer.Nudge()
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-ended:
		case <-time.After(elsewhere):
		}
	}
}

// elsewhere is how often it is looked whether another replica has handed a source over.
const elsewhere = 400 * time.Millisecond

// refusal tells whether an error settles an attempt that was not sent.
func refusal(err error) bool {
	_, unfit := errors.AsType[*source.UnfitError](err)
	_, refused := errors.AsType[*provider.Error](err)
	return unfit || refused
}

// slowSources remembers for a moment whose sources are slow, so that a tenant with many of them does not hold permits and
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
		s.until = map[string]time.Time{} // The others cost one more wait.
	}
	s.until[tenant] = time.Now().Add(slowMemory)
}
