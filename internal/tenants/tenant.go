// Package tenants defines the settings of tenants, which operators change, and the usage of a tenant.
package tenants

import (
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/source"
)

// Limits are the share and the quotas of a tenant. A quota of 0 means no limit.
type Limits struct {
	Weight      int // The share of a provider while other tenants wait, relative to their weights; at least 1.
	MaxQueued   int // How many tasks may be QUEUED.
	MaxInFlight int // How many attempts may be open over all providers.
	MaxPerDay   int // How many tasks may be submitted in a day of UTC.
	Sources     source.Limits

	MaxCallsPerSecond int // How many calls may be made per second, at each replica.
}

// Tenant is a tenant with its settings in force and its usage. An empty name stands for the default, which
// applies to tenants without settings of their own.
type Tenant struct {
	Name   string
	Own    bool // Whether the tenant has settings of its own.
	Limits Limits
	Keep   retention.Periods // The retention times in force. Each is the tenant's own, the default's, or the configured one.
	Queued int               // Counted up to 10,001.
	Open   int               // The attempts that are open over all providers.
	Today  int               // The tasks submitted today; counted only while the tenant has a daily quota.
	Used   source.Usage
}
