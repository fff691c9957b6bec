package luma

import (
	"cmp"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumalabs"
)

// Name is the name of the profile.
const Name = "luma"

// Profile is the configuration of the simulated Dream Machine API.
type Profile struct {
	// SubmitLimit is the rate limit of modify. The default is 20 per minute, as Luma documents for its Build tier.
	SubmitLimit sim.Limit
	// QueryLimit is the rate limit of all GETs together. Luma documents none, and by default there is none.
	QueryLimit sim.Limit
	// MaxConcurrent is the maximum number of queued and running generations of a key. The default is 10, as documented
	// for the Build tier. A negative value means no limit.
	MaxConcurrent int
	// Queued is how long a generation stays queued before it is dreaming; zero means that it starts at once.
	Queued time.Duration
	// CallbackAttempts is how often a callback is tried in total, 4 by default (one and three retries).
	CallbackAttempts int
	// CallbackSpacing is the pause between two tries, 100 ms by default.
	CallbackSpacing time.Duration
	// CallbackTimeout is how long a receiver may take to answer, 5 s by default.
	CallbackTimeout time.Duration
}

// withDefaults returns the profile with the defaults in its zero fields.
func (p Profile) withDefaults() Profile {
	p.SubmitLimit = cmp.Or(p.SubmitLimit, sim.Limit{N: 20, Window: time.Minute})
	p.QueryLimit = cmp.Or(p.QueryLimit, lumalabs.Unlimited)
	p.MaxConcurrent = cmp.Or(p.MaxConcurrent, 10)
	p.CallbackAttempts = cmp.Or(p.CallbackAttempts, 4)
	p.CallbackSpacing = cmp.Or(p.CallbackSpacing, 100*time.Millisecond)
	p.CallbackTimeout = cmp.Or(p.CallbackTimeout, 5*time.Second)
	return p
}

// Terms implements [sim.Profile].
func (p Profile) Terms() (sim.Terms, error) {
	p = p.withDefaults()
	return sim.Terms{
		Name: Name, Path: path, SubmitLimit: p.SubmitLimit, QueryLimit: p.QueryLimit, MaxConcurrent: p.MaxConcurrent, Queued: p.Queued,
		Callbacks: sim.CallbackTerms{
			Attempts: p.CallbackAttempts, Spacing: p.CallbackSpacing, Timeout: p.CallbackTimeout, Progress: true,
		},
		MaintenanceCode: lumalabs.MaintenanceCode, Directives: directives(),
	}, nil
}

func directives() []sim.Directive {
	return slices.Concat(sim.AnswerDirectives(), []sim.Directive{sim.QueuedDirective()}, sim.GenerationDirectives(), []sim.Directive{{
		Stage: sim.StageGeneration, Usage: "fail", Effect: "the generation fails",
		Apply: sim.Bare(func(s *sim.Script) { s.Outcome = sim.OutcomeGenerateFailed }),
	}}, sim.CallbackDirectives(), []sim.Directive{sim.RegressDirective()}, sim.LinkDirectives())
}

// Open implements [sim.Profile].
func (p Profile) Open(api *sim.API) sim.Protocol { return &protocol{lumalabs.Protocol{API: api}} }
