package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Usage is how much of an account's limits is taken, over all replicas.
type Usage struct {
	Account     string
	Limits      provider.Limits // The limits in force: an operator's, or else the configured ones.
	Unanswered  int             // Attempts whose submission is under way.
	Recent      int             // Attempts whose submission was answered within the last window.
	InFlight    int             // Attempts that the provider works on, or may.
	Paused      bool            // Whether the account is paused now, by itself or by an operator.
	PauseReason string          // Why, when it is paused or probed.
	Held        bool            // Whether an operator paused it, until one resumes it.
	PausedUntil time.Time       // When the pause ends; zero while an operator's lasts.
	Probing     bool            // Whether the account was paused and has not proved to work since.
	Probers     Probers         // Which tasks may probe it now.
	Blocked     bool            // Whether the account can't submit at all.
}

// Probers says which tasks may probe an account. Only the tasks that an account refused show that it is in trouble. Tasks that it
// has not refused since then may probe it before its pause ends, and those of other tenants go first.
type Probers int

// The tasks that may probe, fewer from one to the next.
const (
	AllTasks     Probers = iota
	OtherTasks           // Tasks that were not refused.
	OtherTenants         // Tasks of tenants of which none was refused.
	NoTasks
)

// WindowLeft is how many submissions the rate window leaves now.
func (u Usage) WindowLeft() int { return max(u.Limits.Submissions-u.Unanswered-u.Recent, 0) }

// InFlightLeft is how many more attempts may be in flight.
func (u Usage) InFlightLeft() int { return max(u.Limits.InFlight-u.InFlight, 0) }

// Permits returns how many tasks may go to the account now.
//
// A paused account gets none. One that was paused and has not proved to work since is probed with one
// attempt at a time. Otherwise the rate window and the in-flight cap leave what they leave.
func (u Usage) Permits() int {
	if u.Paused {
		return 0
	}
	permits := min(u.WindowLeft(), u.InFlightLeft())
	if u.Probing {
		permits = min(permits, max(1-u.Unanswered, 0))
	}
	return permits
}

// Probeable reports whether one attempt may go to an account that is being probed.
func (u Usage) Probeable() bool {
	return u.Probing && u.Probers != NoTasks && u.Unanswered == 0 && u.WindowLeft() > 0 && u.InFlightLeft() > 0
}

// AccountLimits are limits by account.
type AccountLimits map[string]provider.Limits

// InForce completes the limits of a usage that carries an operator's, 0 where none are set, with the configured
// ones. It returns false for an account that is not configured.
func (l AccountLimits) InForce(u *Usage) bool {
	configured, known := l[u.Account]
	if u.Limits.Submissions == 0 {
		u.Limits.Submissions, u.Limits.Window = configured.Submissions, configured.Window
	}
	if u.Limits.InFlight == 0 {
		u.Limits.InFlight = configured.InFlight
	}
	u.Limits.Queries = configured.Queries
	return known
}

// Plan is what one round of admission does with the queue of a provider.
type Plan struct {
	Permits []string // The accounts that the next tasks go to, one a task.
	Probes  []Usage  // The accounts that one task each may probe.
	MoveOn  int      // How many tasks that may do so move on to their next provider.
}

// Line is what one tenant has queued at a provider.
type Line struct {
	Tenant string
	Weight int       // How much of the provider the tenant gets, relative to others that wait.
	Used   int       // The tenant's attempts that take a permit of the provider now.
	Left   int       // How many more attempts the tenant's own quota allows.
	First  time.Time // The place of the task that goes next: the time at which it was queued, less its priority in minutes.
	Tasks  []Place   // The tasks that go next, in this order.

	Refused bool // Whether the account that is to be probed refused a task of the tenant since its trouble began.
}

// Place is a task in a line.
type Place struct {
	Task    task.ID
	Time    time.Time // As Line.First.
	Refused time.Time // When the account that is to be probed last refused the task since its trouble began; zero where it did not.
}

// Before reports whether the tenant's next task goes before that of another: the tenant that has least of the
// provider for its weight goes first, then the one that waits longest.
func (l Line) Before(o Line) bool {
	if mine, others := l.Used*o.Weight, o.Used*l.Weight; mine != others {
		return mine < others
	}
	if !l.First.Equal(o.First) {
		return l.First.Before(o.First)
	}
	return l.Tenant < o.Tenant
}

// Policy decides who goes next. Its functions are pure: see package admission.
type Policy struct {
	// Plan returns how much may go to which account.
	Plan func([]Usage) Plan
	// Share chooses at most so many tasks from lines, in the order in which they go.
	Share func(permits int, lines []Line) []task.ID
	// Probe chooses the task that probes an account, or returns false. A line has the first of its tasks that were not
	// refused, if there is one, and those that were.
	Probe func(account Usage, lines []Line) (task.ID, bool)
}

// Round is one round of admission at a provider.
type Round struct {
	Policy

	Provider string
	Limits   AccountLimits // The configured ones.
	Admit    func(t task.Task, account string) (task.Decision, error)
	MoveOn   func(task.Task) (task.Decision, error)
}

// Admit lets queued tasks of a provider go where the policy says, and returns how many tasks changed.
func (l *Lifecycle) Admit(ctx context.Context, providerName string, policy Policy) (int, error) {
	changed, err := l.store.AdmitTasks(ctx, Round{
		Policy: policy, Provider: providerName, Limits: l.limits(providerName),
		Admit: func(t task.Task, account string) (task.Decision, error) {
			return t.Apply(task.Admitted{Attempt: task.AttemptID(l.ids.next()), Account: account})
		},
		MoveOn: func(t task.Task) (task.Decision, error) { return t.Apply(task.ProviderBlocked{Known: l.known}) },
	})
	if err != nil {
		return 0, fmt.Errorf("admit tasks to %s: %w", providerName, err)
	}
	for _, t := range changed {
		l.changed(t.ID, t.State)
	}
	return len(changed), nil
}

// limits are the configured limits of a provider's accounts.
func (l *Lifecycle) limits(providerName string) AccountLimits {
	limits := AccountLimits{}
	for _, account := range l.accounts.At(providerName) {
		limits[account] = l.accounts[account].Capabilities().Limits
	}
	return limits
}
