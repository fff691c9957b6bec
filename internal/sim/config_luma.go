package sim

import "time"

// unlimited counts calls in windows of a second and refuses none.
var unlimited = Limit{N: -1, Window: time.Second}

// LumaConfig is what the simulated Dream Machine API does in its own way.
type LumaConfig struct {
	// SubmitLimit is the window of modify, 20 per minute by default, as Luma documents for its Build tier.
	SubmitLimit Limit
	// QueryLimit is the window of all GETs together. None is documented, and none is the default.
	QueryLimit Limit
	// MaxConcurrent is how many generations a key may have running, queued ones included: 10 by default, as documented
	// for the Build tier. A negative value means no limit.
	MaxConcurrent int
	// Queued is how long a generation stays queued before it is dreaming; zero is not at all.
	Queued time.Duration
	// CallbackAttempts is how often a callback is tried in total, 4 by default (one and three retries).
	CallbackAttempts int
	// CallbackSpacing is the pause between two tries, 100 ms by default.
	CallbackSpacing time.Duration
	// CallbackTimeout is how long a receiver may take to answer, 5 s by default.
	CallbackTimeout time.Duration
}

func (c LumaConfig) withDefaults() LumaConfig {
	c.SubmitLimit = or(c.SubmitLimit, Limit{N: 20, Window: time.Minute})
	c.QueryLimit = or(c.QueryLimit, unlimited)
	c.MaxConcurrent = or(c.MaxConcurrent, 10)
	c.CallbackAttempts = or(c.CallbackAttempts, 4)
	c.CallbackSpacing = or(c.CallbackSpacing, 100*time.Millisecond)
	c.CallbackTimeout = or(c.CallbackTimeout, 5*time.Second)
	return c
}

// LumaAgentsConfig is what the simulated Luma Agents API does in its own way.
type LumaAgentsConfig struct {
	// SubmitLimit is the window of POST, 30 per minute by default. The real number depends on the plan; Luma's page on
	// rate limits uses 30 as its example.
	SubmitLimit Limit
	// QueryLimit is the window of GET. None is documented, and none is the default.
	QueryLimit Limit
	// MaxConcurrent is how many generations a key may have running, queued ones included. The real number depends on
	// the plan; the default is 10. A negative value means no limit.
	MaxConcurrent int
	// Queued is how long a generation stays queued before it is processing; zero is not at all.
	Queued time.Duration
	// LinkTTL is how long a presigned link lives, 1 h by default. Each GET gives out fresh ones.
	LinkTTL time.Duration
}

func (c LumaAgentsConfig) withDefaults() LumaAgentsConfig {
	c.SubmitLimit = or(c.SubmitLimit, Limit{N: 30, Window: time.Minute})
	c.QueryLimit = or(c.QueryLimit, unlimited)
	c.MaxConcurrent = or(c.MaxConcurrent, 10)
	c.LinkTTL = or(c.LinkTTL, time.Hour)
	return c
}
