package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/admission"
)

// Admit lets queued tasks of a provider go where the rules of package admission send them, and returns how many tasks changed. Tasks of
// a closed offering move on, or are held until it opens. While admission is closed, nothing changes.
func (l *Lifecycle) Admit(ctx context.Context, providerName string) (int, error) {
	if open, err := l.gate.AdmissionOpen(ctx); err != nil || !open {
		return 0, err
	}
	r, released, err := l.round(ctx, providerName)
	if err != nil {
		return 0, fmt.Errorf("admit tasks to %s: %w", providerName, err)
	}
	left, err := l.leaveClosed(ctx, r)
	if err != nil {
		return 0, fmt.Errorf("admit tasks to %s: %w", providerName, err)
	}
	start := time.Now()
	changed, err := l.store.AdmitTasks(ctx, r)
	if err != nil {
		return 0, fmt.Errorf("admit tasks to %s: %w", providerName, err)
	}
	for i := range changed {
		t := &changed[i]
		trace(ctx, "admit task", t, t.Attempt(), start)
		l.changed(t.ID, t.State)
	}
	return len(changed) + left + released, nil
}

// round returns a round of admission at a provider. It releases tasks that an offering held which is open again, and returns how many.
func (l *Lifecycle) round(ctx context.Context, providerName string) (r admission.Round, released int, err error) {
	r = admission.Round{Provider: providerName, Limits: l.limits(providerName), Known: l.known}
	for _, m := range l.catalog().Models() {
		o := m.At(providerName)
		if o == nil {
			continue
		}
		sold := l.offering(providerName, m.Name)
		r.Sold = append(r.Sold, sold)
		if o.Limits.InFlight > 0 {
			r.Capped = append(r.Capped, admission.CappedOffering{Offering: sold, InFlight: o.Limits.InFlight})
		}
	}
	known, err := l.closures.refresh(ctx)
	if err != nil {
		return r, 0, err
	}
	var opened []admission.Offering
	for _, c := range known {
		if c.Provider != providerName {
			continue
		}
		o := l.offering(providerName, c.Model)
		if c.Opened {
			opened = append(opened, o)
			continue
		}
		r.Closed = append(r.Closed, o)
		if c.Due {
			r.Probes = append(r.Probes, o)
		}
	}
	for _, o := range opened {
		n, err := l.store.ReleaseHeld(ctx, r, o)
		if err != nil {
			return r, released, err
		}
		released += n
	}
	return r, released, nil
}

// limits are the configured limits of a provider's accounts.
func (l *Lifecycle) limits(providerName string) admission.AccountLimits {
	limits := admission.AccountLimits{}
	for _, account := range l.accounts.At(providerName) {
		limits[account] = l.accounts[account].Capabilities().Limits
	}
	return limits
}
