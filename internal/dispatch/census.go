package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/task"
)

const (
	// censusPeriod is the time between two counts, and censusTimeout bounds one. A scrape reads the last count, so that it needs no
	// database.
	censusPeriod  = 15 * time.Second
	censusTimeout = 5 * time.Second
	// censusAge is how old a count may be that metrics show. Without a newer one they have no value.
	censusAge = time.Minute
)

// Counter counts what a census has.
type Counter interface {
	Census(ctx context.Context, configured admission.AccountLimits) (admission.Census, error)
}

// CensusConfig is what a census counts.
type CensusConfig struct {
	Counter   Counter
	Accounts  admission.AccountLimits // The configured accounts and their limits.
	Providers []string                // Have metrics also while they have no task.
	Meter     metric.Meter
	Log       *slog.Logger
}

// Census makes what waits, and what accounts have left, metrics. Every replica counts the whole fleet, so a dashboard takes the
// greatest of their values and not the sum.
type Census struct {
	CensusConfig

	mu      sync.Mutex
	known   admission.Census
	counted time.Time // When known was counted; zero before.
}

// NewCensus returns a census, which must run.
func NewCensus(cfg CensusConfig) (*Census, error) {
	c := &Census{CensusConfig: cfg}
	return c, c.observe()
}

// Run counts until ctx ends.
func (c *Census) Run(ctx context.Context) error {
	failing := false
	return loop.Every(ctx, censusPeriod, func(ctx context.Context) {
		bounded, cancel := context.WithTimeout(ctx, censusTimeout)
		defer cancel()
		counted, err := c.Counter.Census(bounded, c.Accounts)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			c.Log.WarnContext(ctx, "the tasks can't be counted; their metrics have no values until they can", "error", err)
		}
		if failing = err != nil; failing {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.known, c.counted = counted, time.Now()
	})
}

// recent returns the last count, or false if it is too old.
func (c *Census) recent() (admission.Census, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known, !c.counted.IsZero() && time.Since(c.counted) < censusAge
}

// place is where tasks are.
type place struct {
	provider string
	state    task.State
}

// groups returns the tasks by place, with an entry for each state of each configured provider.
func (c *Census) groups() map[place]admission.TaskGroup {
	known, ok := c.recent()
	if !ok {
		return nil
	}
	all := map[place]admission.TaskGroup{}
	for _, provider := range c.Providers {
		for _, state := range task.States {
			if !state.Terminal() {
				all[place{provider, state}] = admission.TaskGroup{}
			}
		}
	}
	for _, g := range known.Groups {
		sum := all[place{g.Provider, g.State}]
		sum.Tasks, sum.Oldest = sum.Tasks+g.Tasks, max(sum.Oldest, g.Oldest)
		all[place{g.Provider, g.State}] = sum
	}
	return all
}

// waiting is who waits for what.
type waiting struct {
	provider string
	cause    task.WaitCause
}

func (c *Census) waiting() map[waiting]int64 {
	known, ok := c.recent()
	if !ok {
		return nil
	}
	all := map[waiting]int64{}
	for _, g := range known.Groups {
		if g.State == task.Queued {
			all[waiting{g.Provider, known.Waiting(g)}] += g.Tasks
		}
	}
	return all
}

func (c *Census) accounts() []admission.Account {
	known, ok := c.recent()
	if !ok {
		return nil
	}
	return known.Accounts
}

func (c *Census) observe() error {
	_, err := c.Meter.Int64ObservableGauge("refract_tasks",
		metric.WithDescription("Tasks that have not ended, of all replicas, by provider and state. Of more than 100,000, those with the earliest deadlines count."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for at, g := range c.groups() {
				o.Observe(g.Tasks, metric.WithAttributes(attribute.String("provider", at.provider), attribute.String("state", string(at.state))))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of tasks: %w", err)
	}
	_, err = c.Meter.Float64ObservableGauge("refract_task_oldest_age", metric.WithUnit("s"),
		metric.WithDescription("Time since the last event of the task that has had none for the longest, of all replicas, by provider and state; 0 without a task."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			for at, g := range c.groups() {
				o.Observe(g.Oldest.Seconds(), metric.WithAttributes(attribute.String("provider", at.provider), attribute.String("state", string(at.state))))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of the oldest tasks: %w", err)
	}
	_, err = c.Meter.Int64ObservableGauge("refract_tasks_waiting",
		metric.WithDescription("QUEUED tasks, of all replicas, by provider and by what keeps them or the first of them: ADMISSION_CLOSED, STORAGE_UNAVAILABLE, SOURCE, RETRY_DELAY, OFFERING_CLOSED, PROVIDER_PAUSED, IN_FLIGHT_CAP, RATE_WINDOW, or ADMISSION."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for w, n := range c.waiting() {
				o.Observe(n, metric.WithAttributes(attribute.String("provider", w.provider), attribute.String("cause", string(w.cause))))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of waiting tasks: %w", err)
	}
	return c.observeAccounts()
}

// observeAccounts makes the limits of accounts and what is left of them metrics.
func (c *Census) observeAccounts() error {
	_, err := c.Meter.Int64ObservableGauge("refract_admission_permits",
		metric.WithDescription("Permits of an account, of all replicas, by limit (window or in_flight) and state: used, or free. A paused account gives none of its free ones."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, a := range c.accounts() {
				observe := func(limit, state string, n int) {
					o.Observe(int64(n), metric.WithAttributes(
						attribute.String("account", a.Account), attribute.String("limit", limit), attribute.String("state", state)))
				}
				observe("window", "used", a.Unanswered+a.Recent)
				observe("window", "free", a.WindowLeft())
				observe("in_flight", "used", a.InFlight)
				observe("in_flight", "free", a.InFlightLeft())
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of permits: %w", err)
	}
	_, err = c.Meter.Int64ObservableGauge("refract_admission_paused",
		metric.WithDescription("Whether an account is paused (1, or 0), by who paused it: service, or operator."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, a := range c.accounts() {
				is := map[bool]int64{true: 1}
				o.Observe(is[a.Paused && !a.Held], metric.WithAttributes(attribute.String("account", a.Account), attribute.String("by", "service")))
				o.Observe(is[a.Held], metric.WithAttributes(attribute.String("account", a.Account), attribute.String("by", "operator")))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of pauses: %w", err)
	}
	_, err = c.Meter.Int64ObservableGauge("refract_attempts_unconfirmed",
		metric.WithDescription("Attempts, of all replicas, that the provider may have taken, and that wait for a callback or a search to show it, by account."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, a := range c.accounts() {
				o.Observe(int64(a.Unknown), metric.WithAttributes(attribute.String("account", a.Account)))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of unconfirmed attempts: %w", err)
	}
	return nil
}
