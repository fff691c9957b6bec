package catalog

import (
	"fmt"
	"time"
)

// Closure is why an offering takes no tasks for a time, although neither its dates nor the configuration say so: its provider
// answers that the model does not exist, or an operator closed it.
type Closure struct {
	Reason string // One sentence for callers, without a full stop.
	Since  time.Time
	Until  time.Time // When the offering is tried again; zero means that this is unknown.
}

// Closures returns the closure of an offering, or nil where it is open. A nil Closures means that all offerings are open. It may be
// called concurrently, and must not block.
type Closures func(o *Offering) *Closure

// Of returns the closure of an offering, or nil.
func (c Closures) Of(o *Offering) *Closure {
	if c == nil {
		return nil
	}
	return c(o)
}

// The stages that do not follow from the dates of an offering.
const (
	NoAccount Stage = "no_account" // No account at the provider is configured.
	Closed    Stage = "closed"     // The offering has a Closure.
)

// Usable reports whether an offering takes tasks.
func (s Stage) Usable() bool { return s == Available || s == Deprecated }

// Availability is whether an offering takes tasks, and why not.
type Availability struct {
	Stage   Stage
	Message string    // One sentence without a subject, such as "was retired on 2026-08-19"; empty for Available.
	Since   time.Time // Since when the offering is at the stage; zero means that this is unknown.
	Until   time.Time // Until when, likewise.
}

// Availability returns whether an offering takes tasks at a time. hasAccount is whether an account at its provider is configured.
func (o *Offering) Availability(now time.Time, hasAccount bool, closure *Closure) Availability {
	l := o.Lifecycle
	switch stage := l.Stage(now); {
	case stage == Retired:
		return Availability{Stage: Retired, Message: "was retired on " + l.Retire.String() + l.replacement(), Since: l.Retire.Time}
	case !hasAccount:
		return Availability{Stage: NoAccount, Message: "has no account here"}
	case closure != nil:
		return Availability{
			Stage: Closed, Message: fmt.Sprintf("has been closed since %s: %s", closure.Since.UTC().Format(time.RFC3339), bounded(closure.Reason)),
			Since: closure.Since, Until: closure.Until,
		}
	case stage == Deprecated:
		return l.deprecated(now)
	default:
		return Availability{Stage: Available}
	}
}

// deprecated returns the availability of an offering whose provider advises against it, or that retires soon.
func (l Lifecycle) deprecated(now time.Time) Availability {
	a := Availability{Stage: Deprecated, Since: l.Deprecate.Time, Until: l.Retire.Time}
	switch {
	case !l.Deprecate.reached(now):
		a.Message, a.Since = "retires on "+l.Retire.String(), l.Retire.Add(-RetireNotice)
	case l.Retire.IsZero():
		a.Message = "has been deprecated since " + l.Deprecate.String()
	default:
		a.Message = "has been deprecated since " + l.Deprecate.String() + " and retires on " + l.Retire.String()
	}
	a.Message += l.replacement()
	return a
}

// replacement returns what replaces the model, as the end of a sentence.
func (l Lifecycle) replacement() string {
	if l.ReplacedBy == "" {
		return ""
	}
	return ", and " + l.ReplacedBy + " replaces it"
}
