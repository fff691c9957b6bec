// Package tenants has what operators set for tenants, and what a tenant has.
package tenants

import (
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/source"
)

// Limits are the share and the quotas of a tenant. A quota of 0 is none.
type Limits struct {
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
	Limits Limits
	Keep   retention.Periods // The times in force: each the tenant's own, the default's, or the configured one.
	Queued int               // Counted up to 10,001.
	Open   int               // The attempts that are open over all providers.
	Today  int               // The tasks submitted today; counted only while the tenant has a daily quota.
	Used   source.Usage
}
