package identity

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// rateReload is how often the rates of tenants are read.
const rateReload = 2 * time.Second

// RateError means that a tenant has exceeded its rate of calls.
type RateError struct {
	Limit int           // Calls per second.
	Retry time.Duration // When a call fits again.
}

// Error names the limit.
func (e *RateError) Error() string {
	return fmt.Sprintf("the tenant makes more than %d calls per second, which is its limit: call again later", e.Limit)
}

// CallRates is where the rates of tenants are.
type CallRates interface {
	// CallRates calls add with each tenant that has terms of its own, and its maximum rate of calls per second; 0 means no limit. The
	// empty name is that of the default.
	CallRates(ctx context.Context, add func(tenant string, perSecond int)) error
}

// Rates bounds the calls of each tenant by a token bucket, which has room for the calls of two seconds. It reads the limits of all
// tenants every two seconds, so that a call costs no query.
type Rates struct {
	store CallRates
	log   *slog.Logger
	reads *refresh

	mu      sync.Mutex
	limits  map[string]int
	buckets map[string]*rate.Limiter // Of the tenants whose bucket is not full.
}

// NewRates returns rates that bound no tenant before they run or are loaded.
func NewRates(store CallRates, log *slog.Logger) *Rates {
	r := &Rates{store: store, log: log, limits: map[string]int{}, buckets: map[string]*rate.Limiter{}}
	r.reads = newRefresh(timing{
		read: r.reload, interval: rateReload, retry: rateReload, gap: rateReload, timeout: tokenReloadTime, patience: tokenWait,
	})
	return r
}

// Load reads the limits once, for as long as ctx lasts, so that they are known before the first call comes.
func (r *Rates) Load(ctx context.Context) error { return r.reads.once(ctx) }

// Run reads the limits until ctx ends. While they can't be read, the known ones apply.
func (r *Rates) Run(ctx context.Context) error { return r.reads.run(ctx) }

func (r *Rates) reload(ctx context.Context) error {
	limits := map[string]int{}
	if err := r.store.CallRates(ctx, func(tenant string, perSecond int) { limits[tenant] = perSecond }); err != nil {
		r.log.DebugContext(ctx, "the call rates of tenants can't be read; the known ones apply", "error", err)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits = limits
	for tenant, bucket := range r.buckets {
		limit := r.limit(tenant)
		if limit == 0 || bucket.Tokens() >= float64(bucket.Burst()) { // A full one is as a new one.
			delete(r.buckets, tenant)
			continue
		}
		if bucket.Limit() != rate.Limit(limit) {
			bucket.SetLimit(rate.Limit(limit))
			bucket.SetBurst(2 * limit)
		}
	}
	return nil
}

// limit returns the limit of a tenant, or 0. The lock is held.
func (r *Rates) limit(tenant string) int {
	if limit, own := r.limits[tenant]; own {
		return limit
	}
	return r.limits[""]
}

// take takes the place of one call, or returns a *RateError.
func (r *Rates) take(tenant string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := r.limit(tenant)
	if limit == 0 {
		return nil
	}
	bucket := r.buckets[tenant]
	if bucket == nil {
		bucket = rate.NewLimiter(rate.Limit(limit), 2*limit)
		r.buckets[tenant] = bucket
	}
	place := bucket.Reserve()
	if wait := place.Delay(); wait > 0 {
		place.Cancel()
		return &RateError{Limit: limit, Retry: wait}
	}
	return nil
}

// Limit returns an authenticator that counts each authentication as a call of its tenant, and refuses it with a *RateError where it
// exceeds the rate.
func (r *Rates) Limit(a Authenticator) Authenticator { return limited{a, r} }

type limited struct {
	Authenticator
	rates *Rates
}

// Authenticate implements Authenticator.
func (l limited) Authenticate(ctx context.Context, c Credentials) (*Identity, error) {
	id, err := l.Authenticator.Authenticate(ctx, c)
	if err == nil {
		err = l.rates.take(id.Tenant)
	}
	if err != nil {
		return nil, err
	}
	return id, nil
}
