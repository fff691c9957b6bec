package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// The pauses between the probes of an offering that its provider has withdrawn. A probe that is refused costs nothing.
const (
	firstOfferingProbe = time.Minute
	maxOfferingProbe   = time.Hour
)

// closuresAge is how old the known closures may be.
const closuresAge = 3 * time.Second

// closures remembers which offerings are closed. A replica that admits tasks reads them with every round, so others rarely do.
type closures struct {
	store   Offerings
	reading sync.Mutex // Held while current reads.
	mu      sync.Mutex
	read    time.Time
	known   []admission.Closure
}

// refresh reads the closures. With an error, it returns those from before.
func (c *closures) refresh(ctx context.Context) ([]admission.Closure, error) {
	if c.store == nil {
		return nil, nil
	}
	known, err := c.store.Closures(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.read, c.known = time.Now(), known
	}
	return c.known, err
}

// current returns the closures as they were a short time ago. While one caller reads them, others get those from before, as with an
// error.
func (c *closures) current(ctx context.Context) ([]admission.Closure, error) {
	c.mu.Lock()
	known, since := c.known, time.Since(c.read)
	c.mu.Unlock()
	if since < closuresAge || !c.reading.TryLock() {
		return known, nil
	}
	defer c.reading.Unlock()
	return c.refresh(ctx)
}

// closureOf returns the closure of an offering, or nil.
func closureOf(known []admission.Closure, o *catalog.Offering) *admission.Closure {
	i := slices.IndexFunc(known, func(c admission.Closure) bool { return c.Provider == o.Provider && c.Model == o.Model })
	if i < 0 {
		return nil
	}
	return &known[i]
}

// Closed returns which offerings are closed, as it was a few seconds ago or later. While the database is out of reach, the closures
// stay as they were.
func (l *Lifecycle) Closed(ctx context.Context) catalog.Closures {
	return l.closedNow(ctx, func(c *admission.Closure) bool { return !c.Opened })
}

// refusing returns which offerings take no new task. One whose probe is due takes tasks, since a probe needs one.
func (l *Lifecycle) refusing(ctx context.Context) catalog.Closures {
	return l.closedNow(ctx, (*admission.Closure).Applies)
}

// closedNow returns the closures that a function selects.
func (l *Lifecycle) closedNow(ctx context.Context, selected func(*admission.Closure) bool) catalog.Closures {
	known, _ := l.closures.current(ctx) // With an error they are those from before.
	return func(o *catalog.Offering) *catalog.Closure {
		c := closureOf(known, o)
		if c == nil || !selected(c) {
			return nil
		}
		return &catalog.Closure{Reason: c.Reason, Since: c.Since, Until: c.Until}
	}
}

// CloseOffering closes an offering until OpenOffering is called. Queued tasks move on to the next provider of their route, or wait.
func (l *Lifecycle) CloseOffering(ctx context.Context, providerName, model, reason string) error {
	defer l.closures.forget()
	return l.closures.store.CloseOffering(ctx, providerName, model, reason)
}

// OpenOffering opens an offering, whether an operator or its provider closed it.
func (l *Lifecycle) OpenOffering(ctx context.Context, providerName, model string) error {
	defer l.closures.forget()
	return l.closures.store.OpenOffering(ctx, providerName, model)
}

// forget makes the next call of current read the closures, after a change of ours.
func (c *closures) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = time.Time{}
}

// closureOfTask returns the closure of the offering of a task at its provider, or nil.
func (l *Lifecycle) closureOfTask(ctx context.Context, t task.Task) (*admission.Closure, error) {
	known, err := l.closures.current(ctx)
	if err != nil {
		return nil, err
	}
	o := l.catalog().Offering(t.Provider, t.Spec.Model)
	if o == nil {
		return nil, nil //nolint:nilnil // An offering that the catalog lacks is not closed.
	}
	return closureOf(known, o), nil
}

// offeringUpdate returns what the answer to a submission shows about the offering of its task, or nil.
func (l *Lifecycle) offeringUpdate(t task.Task, a *task.Attempt, answer *provider.Error) *OfferingUpdate {
	if answer != nil && answer.Class != provider.ModelWithdrawn {
		return nil
	}
	o := l.catalog().Offering(a.Provider, t.Spec.Model)
	if o == nil {
		return nil
	}
	u := &OfferingUpdate{Provider: a.Provider, Model: o.Model, Admitted: a.CreateTime}
	if answer != nil {
		// NOTE: all tenants see the reason, so it has no words of the provider, which may be about one tenant's request.
		u.Close = &Closing{Reason: fmt.Sprintf("the provider answered that it does not have the model (code %d)", answer.Code), For: firstOfferingProbe, Max: maxOfferingProbe}
	}
	return u
}

// offering returns an offering of a provider with the names by which tasks ask for it. One that the catalog no longer has keeps its
// own name.
func (l *Lifecycle) offering(providerName, model string) admission.Offering {
	offering := admission.Offering{Model: model, Names: []string{model}}
	if o := l.catalog().Offering(providerName, model); o != nil {
		offering.Names = append(offering.Names, o.Remote)
		if o.Default {
			offering.Names = append(offering.Names, "")
		}
	}
	return offering
}

// holdRounds bounds how many times a round holds tasks, so that other tasks of the provider do not wait for long.
const holdRounds = 20

// leaveClosed holds the tasks of closed offerings of a round, and moves some of them on. It returns how many tasks changed. All are held
// first: a round that reads the queues would read those that are not.
func (l *Lifecycle) leaveClosed(ctx context.Context, r admission.Round) (changed int, err error) {
	if len(r.Closed) == 0 {
		return 0, nil
	}
	for range holdRounds {
		held, err := l.store.HoldClosed(ctx, r)
		if err != nil {
			return changed, err
		}
		changed += held
		if held == 0 {
			break
		}
	}
	start := time.Now()
	moved, err := l.store.MoveClosed(ctx, r)
	for i := range moved {
		t := &moved[i]
		trace(ctx, "move task", t, nil, start)
		l.changed(t.ID, t.State)
	}
	return changed + len(moved), err
}
