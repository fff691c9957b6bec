package admission

import (
	"time"

	"github.com/refract-video/refract/internal/provider"
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
	Probing     bool            // Whether the account was paused and has not accepted an attempt since.
	Probers     Probers         // Which tasks may probe it now.
	Blocked     bool            // Whether the account can't submit at all.
}

// Probers says which tasks may probe an account. Only the tasks that an account refused show that it is in trouble. Tasks that it
// has not refused since then may probe it before its pause ends, those of other tenants first.
type Probers int

// The tasks that may probe, fewer from one to the next.
const (
	AllTasks     Probers = iota
	OtherTasks           // Tasks that were not refused.
	OtherTenants         // Tasks of tenants of which none was refused.
	NoTasks
)

// WindowLeft returns how many submissions the rate window allows now.
func (u Usage) WindowLeft() int { return max(u.Limits.Submissions-u.Unanswered-u.Recent, 0) }

// InFlightLeft returns how many more attempts may be in flight.
func (u Usage) InFlightLeft() int { return max(u.Limits.InFlight-u.InFlight, 0) }

// Permits returns how many tasks may go to the account now.
//
// A paused account gets none. An account that was paused and has not accepted an attempt since is probed with one attempt at a time.
// Any other gets what the rate window and the in-flight cap allow.
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

// InForce completes the limits of a usage, which has an operator's limits or 0, with the configured ones. It returns false for an
// account that is not configured.
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
