package admission

import (
	"fmt"
	"time"
)

// Closure says that an offering is closed, so that nothing is sent to it: its provider said that it does not have the model, or an
// operator closed it. Queued tasks move on to the next provider of their route. Those without one are held until it opens.
//
// After a provider's refusal one task at a time probes the offering, at growing intervals, and an accepted probe opens it.
type Closure struct {
	Provider string
	Model    string // By our name.
	Reason   string
	Operator bool      // Whether an operator closed it, until an operator opens it.
	Since    time.Time // When it was closed.
	Until    time.Time // When a task may probe it; zero while an operator's closure lasts.
	Due      bool      // Whether a task may probe it now.
	Opened   bool      // Whether it is open again. The closure ends when all tasks that it held are released.
}

// Applies reports whether the offering takes no new task: it is closed, and no probe is due.
func (c *Closure) Applies() bool { return c != nil && !c.Opened && !c.Due }

// String describes the closure to callers and operators.
func (c *Closure) String() string {
	s := fmt.Sprintf("%s at %s is closed since %s: %s", c.Model, c.Provider, c.Since.UTC().Format(time.DateTime+" UTC"), c.Reason)
	switch {
	case c.Due:
		s += "; a task may probe it now"
	case !c.Until.IsZero():
		s += "; it is probed at " + c.Until.UTC().Format(time.DateTime+" UTC")
	}
	return s
}

// CappedOffering is an offering of which only so many attempts may be in flight.
type CappedOffering struct {
	Offering

	InFlight int
}

// Offering is a model at the provider of a round, with the names by which tasks ask for it there. An empty name stands for tasks
// that name no model.
type Offering struct {
	Model string
	Names []string
}
