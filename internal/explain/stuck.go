package explain

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// How long a task may be in a state before it counts as stuck.
const (
	queuedBound     = 15 * time.Minute
	submittingBound = time.Minute // A submission times out before.
	savingBound     = 10 * time.Minute
	runningBound    = time.Hour // Of an attempt whose usual duration is unknown.

	runningFactor = 3           // How many times the usual duration an attempt may run,
	runningLeast  = time.Minute // and at least.
)

// bounds are the times after which a task of a state may be stuck.
func bounds() map[task.State]time.Duration {
	return map[task.State]time.Duration{
		task.Queued: queuedBound, task.Submitting: submittingBound, task.Running: runningLeast, task.Saving: savingBound,
	}
}

// scanned is how many tasks one page looks at. A page that finds fewer than it may have continues on the next one, so its cost is
// bounded, whatever the filters leave out.
const scanned = 1000

// Place is the place of a task in the list of stuck tasks. The zero value is before the first.
type Place struct {
	Time time.Time // Since when the task is in its state.
	ID   task.ID
}

// Candidate is a task that may be stuck.
type Candidate struct {
	ID       task.ID
	Tenant   string
	Provider string
	State    task.State
	Since    time.Time
	Age      time.Duration // Since then, by the database's clock.
	Account  string        // Of the newest attempt of a task that is RUNNING; empty for others, as the next.
	Remote   string
}

// Filter selects stuck tasks.
type Filter struct {
	Tenant   string // Empty means all.
	Provider string // Empty means all.
	After    Place
	Limit    int
}

// Stuck is a task that has been in its state for longer than is usual.
type Stuck struct {
	Task    task.Task
	Usual   time.Duration // How long tasks usually are in the state; 0 if that is unknown.
	Waiting *task.Waiting
	Advice  string
}

// Stuck returns stuck tasks, longest in their state first, and the place after which the next page begins; nil at the end. A page may
// be empty although another one follows.
func (x *Explainer) Stuck(ctx context.Context, f Filter) (page []Stuck, next *Place, err error) {
	candidates, err := x.store.LongInState(ctx, bounds(), f.After, scanned)
	if err != nil {
		return nil, nil, fmt.Errorf("find stuck tasks: %w", err)
	}
	usual := usualDurations{rules: x.rules, known: map[string]func(string) time.Duration{}}
	var chosen []Candidate
	for _, c := range candidates {
		if f.Tenant != "" && c.Tenant != f.Tenant || f.Provider != "" && c.Provider != f.Provider {
			continue
		}
		d, err := usual.of(ctx, c)
		if err != nil {
			return nil, nil, fmt.Errorf("find stuck tasks: %w", err)
		}
		if !c.stuck(d) {
			continue
		}
		if len(chosen) == f.Limit {
			last := chosen[len(chosen)-1]
			next = &Place{Time: last.Since, ID: last.ID}
			break
		}
		chosen = append(chosen, c)
	}
	if next == nil && len(candidates) == scanned {
		last := candidates[scanned-1]
		next = &Place{Time: last.Since, ID: last.ID}
	}
	page, err = x.describe(ctx, chosen, &usual)
	return page, next, err
}

// describe returns the tasks with their causes. One that has changed since it was found is left out.
func (x *Explainer) describe(ctx context.Context, chosen []Candidate, usual *usualDurations) ([]Stuck, error) {
	ids := make([]task.ID, len(chosen))
	for i, c := range chosen {
		ids[i] = c.ID
	}
	tasks, err := x.store.TasksByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read stuck tasks: %w", err)
	}
	var page []Stuck
	for _, c := range chosen {
		t, ok := tasks[c.ID]
		if !ok || t.State != c.State || !t.UpdateTime.Equal(c.Since) {
			continue
		}
		s := Stuck{Task: redacted(t)}
		if s.Waiting, err = x.waiting(ctx, t); err != nil {
			return nil, fmt.Errorf("read stuck tasks: %w", err)
		}
		if s.Usual, err = usual.of(ctx, c); err != nil {
			return nil, fmt.Errorf("read stuck tasks: %w", err)
		}
		s.Advice = advice(&t, s.Waiting)
		page = append(page, s)
	}
	return page, nil
}

// stuck reports whether a task has been in its state for longer than is usual. usual is 0 if it is unknown.
func (c Candidate) stuck(usual time.Duration) bool {
	switch {
	case c.State != task.Running:
		return c.Age >= bounds()[c.State]
	case usual == 0:
		return c.Age >= runningBound
	default:
		return c.Age >= max(runningFactor*usual, runningLeast)
	}
}

// usualDurations are the usual durations of accounts, each read once.
type usualDurations struct {
	rules Rules
	known map[string]func(string) time.Duration
}

// of returns how long a task is usually in its state, or 0 if that is unknown.
func (u *usualDurations) of(ctx context.Context, c Candidate) (time.Duration, error) {
	if c.State != task.Running || c.Account == "" {
		return 0, nil
	}
	usual, ok := u.known[c.Account]
	if !ok {
		var err error
		if usual, err = u.rules.UsualDurations(ctx, c.Account); err != nil {
			return 0, err
		}
		u.known[c.Account] = usual
	}
	return usual(c.Remote), nil
}

// advice returns what an operator can do about a stuck task.
func advice(t *task.Task, w *task.Waiting) string {
	if w == nil {
		return adviceOfState(t)
	}
	switch w.Cause {
	case task.WaitAdmissionClosed:
		return "See why with `refract admission show`; after a restore, run `refract restore-check`, and then `refract admission open`."
	case task.WaitStorage:
		return "Repair the bucket: see its state in the log and at /readyz."
	case task.WaitDownload:
		return "Check that this service can reach the hosts of the result links; the download is repeated until the links expire."
	case task.WaitLinks, task.WaitAnswer:
		return "Ask " + t.Provider + " about the provider task: it reports a result without a usable link."
	case task.WaitConfirmation:
		return "Look for the attempt in the console of " + t.Provider + "; a callback settles it, and so does `refract check`."
	case task.WaitSource:
		return "Check that the source of the task can be downloaded from this service."
	case task.WaitDelay:
		return "Wait for the next attempt; `refract explain` shows why the attempts before created nothing."
	case task.WaitOffering:
		return "Open the offering with `refract model open`, or cancel the task and submit it for another provider."
	case task.WaitProviderPaused:
		return "See why the account is paused with `refract provider list`, and resume it with `refract provider resume`."
	case task.WaitTenantShare:
		return "Raise the limits of the tenant with `refract tenant set`, or wait until its other tasks have gone."
	case task.WaitInFlightCap:
		return "Raise the cap with `refract provider limit --in-flight`, if the provider permits more, or add an account."
	case task.WaitRateWindow:
		return "Raise the rate with `refract provider limit --rate`, if the provider permits more, or add an account."
	case task.WaitAdmission:
		return "Check that a worker runs: admission sends the task with its next round."
	default:
		return "See the events of the task with `refract explain`."
	}
}

// adviceOfState returns what an operator can do about a task that waits for nothing but the work itself.
func adviceOfState(t *task.Task) string {
	switch t.State {
	case task.Submitting:
		return "Check that a worker runs and reaches the database: its submission should have been answered by now."
	case task.Running:
		return "Ask the provider with `refract check`, and look for the provider task in the console of " + t.Provider + "."
	case task.Saving:
		return "Check that a worker runs, and whether the download is slow."
	default:
		return "See the events of the task with `refract explain`."
	}
}
