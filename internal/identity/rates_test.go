package identity

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rateTable stands in for the table of tenants where time must pass.
type rateTable struct {
	mu     sync.Mutex
	limits map[string]int
	err    error
}

func (r *rateTable) CallRates(_ context.Context, add func(string, int)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for tenant, limit := range r.limits {
		add(tenant, limit)
	}
	return r.err
}

func (r *rateTable) set(limits map[string]int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits, r.err = maps.Clone(limits), err
}

// startRates runs rates in a bubble.
func startRates(t *testing.T, limits map[string]int) (*Rates, *rateTable) {
	t.Helper()
	table := &rateTable{limits: limits}
	r := NewRates(table, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx) // It always returns nil.
	}()
	t.Cleanup(func() { cancel(); <-ended })
	synctest.Wait()
	return r, table
}

// takeAll takes calls of a tenant until one is refused, and returns how many were taken.
func takeAll(t *testing.T, r *Rates, tenant string) (taken int) {
	t.Helper()
	for ; taken < 10_000; taken++ {
		err := r.take(tenant)
		if refused, ok := errors.AsType[*RateError](err); ok {
			if refused.Retry <= 0 || refused.Retry > time.Second {
				t.Errorf("the refusal says to call again in %v", refused.Retry)
			}
			return taken
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return taken
}

func TestRates_ATenantHasItsRateAndTwiceAsMuchAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := startRates(t, map[string]int{"": 5, "films": 50, "free": 0})
		for tenant, want := range map[string]int{"acme": 10, "ads": 10, "films": 100, "free": 10_000} {
			if got := takeAll(t, r, tenant); got != want {
				t.Errorf("%s has %d calls at once, want %d", tenant, got, want)
			}
		}
		<-time.After(time.Second)
		for tenant, want := range map[string]int{"acme": 5, "films": 50} {
			if got := takeAll(t, r, tenant); got != want {
				t.Errorf("%s has %d calls after a second, want %d", tenant, got, want)
			}
		}
	})
}

func TestRates_ARefusedCallCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := startRates(t, map[string]int{"acme": 5})
		takeAll(t, r, "acme")
		for range 1000 {
			_ = r.take("acme")
		}
		<-time.After(time.Second)
		if got := takeAll(t, r, "acme"); got != 5 {
			t.Errorf("a second after a thousand refused calls there are %d, want 5", got)
		}
	})
}

func TestRates_ChangesApplyInTimeAndAnOutageChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, table := startRates(t, map[string]int{"acme": 5})
		takeAll(t, r, "acme")
		table.set(map[string]int{"acme": 1}, nil)
		<-time.After(2*rateReload + time.Millisecond)
		if got := takeAll(t, r, "acme"); got != 2 {
			t.Errorf("with the new limit there are %d calls at once, want 2", got)
		}
		table.set(nil, errors.New("out of reach"))
		<-time.After(10 * rateReload)
		if got := takeAll(t, r, "acme"); got != 2 {
			t.Errorf("while the limits can't be read there are %d calls at once, want 2", got)
		}
		table.set(map[string]int{}, nil)
		<-time.After(2*rateReload + time.Millisecond)
		if got := takeAll(t, r, "acme"); got != 10_000 {
			t.Errorf("without a limit there are %d calls", got)
		}
	})
}

func TestRates_IdleTenantsTakeNoMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := startRates(t, map[string]int{"": 5})
		for i := range 1000 {
			if err := r.take(string(rune('a' + i))); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(2*rateReload + time.Millisecond)
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.buckets) != 0 {
			t.Errorf("%d buckets are kept", len(r.buckets))
		}
	})
}
