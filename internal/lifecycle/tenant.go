package lifecycle

import (
	"time"

	"github.com/refract-video/refract/internal/source"
)

// Terms are the share and the quotas of a tenant. A quota of 0 is none.
type Terms struct {
	Weight      int // How much of a provider the tenant gets while others wait, relative to them; at least 1.
	MaxQueued   int // How many tasks may be QUEUED.
	MaxInFlight int // How many attempts may be open over all providers.
	MaxPerDay   int // How many tasks may be submitted in a day of UTC.
	Sources     source.Limits
}

// Tenant is a tenant, the terms that hold for it, and what it has. An empty name stands for the tenants that have
// no terms of their own.
type Tenant struct {
	Name   string
	Own    bool // Whether the terms are the tenant's own.
	Terms  Terms
	Keep   Keep // The times in force: each the tenant's own, the default's, or the configured one.
	Queued int  // Counted up to 10,001.
	Open   int  // The attempts that are open over all providers.
	Today  int  // The tasks submitted today; counted only while the tenant has a daily quota.
	Used   source.Usage
}

// KeepChanges are changes of the times for which a tenant's things are kept, by kind: outputs, sources, callbacks and
// tasks. What is not in it stays as it is; nil goes back to the default's time, and 0 means for ever.
type KeepChanges map[Retained]*time.Duration

// Check refuses times that are too short.
func (c KeepChanges) Check() error {
	kept := func(kind Retained) time.Duration {
		if d := c[kind]; d != nil {
			return *d
		}
		return 0
	}
	k := Keep{
		Outputs: kept(RetainedOutput), Sources: kept(RetainedSource), Callbacks: kept(RetainedCallback), Tasks: kept(RetainedTask),
	}
	return k.Check()
}
