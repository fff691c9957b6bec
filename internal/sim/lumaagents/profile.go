package lumaagents

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumalabs"
)

// Name is the name of the profile.
const Name = "luma-agents"

// Profile is the configuration of the simulated Luma Agents API.
type Profile struct {
	// SubmitLimit is the rate limit of POST, 30 per minute by default. The real number depends on the plan; Luma's
	// page on rate limits uses 30 as its example.
	SubmitLimit sim.Limit
	// QueryLimit is the rate limit of GET. Luma documents none, and by default there is none.
	QueryLimit sim.Limit
	// MaxConcurrent is the maximum number of queued and running generations of a key. The real number depends on the
	// plan; the default is 10. A negative value means no limit.
	MaxConcurrent int
	// Queued is how long a generation stays queued before it is processing; zero means that it starts at once.
	Queued time.Duration
	// LinkTTL is the lifetime of a presigned link, 1 h by default. Each GET returns new links.
	LinkTTL time.Duration
}

// withDefaults returns the profile with the defaults in its zero fields.
func (p Profile) withDefaults() Profile {
	p.SubmitLimit = cmp.Or(p.SubmitLimit, sim.Limit{N: 30, Window: time.Minute})
	p.QueryLimit = cmp.Or(p.QueryLimit, lumalabs.Unlimited)
	p.MaxConcurrent = cmp.Or(p.MaxConcurrent, 10)
	p.LinkTTL = cmp.Or(p.LinkTTL, time.Hour)
	return p
}

// Terms implements [sim.Profile].
func (p Profile) Terms() (sim.Terms, error) {
	p = p.withDefaults()
	return sim.Terms{
		Name: Name, Path: path, SubmitLimit: p.SubmitLimit, QueryLimit: p.QueryLimit, MaxConcurrent: p.MaxConcurrent, Queued: p.Queued,
		LinkTTL: p.LinkTTL, FreshLinks: true, MaintenanceCode: lumalabs.MaintenanceCode, Directives: directives(),
	}, nil
}

func directives() []sim.Directive {
	return slices.Concat(sim.AnswerDirectives(), []sim.Directive{sim.QueuedDirective()}, sim.GenerationDirectives(), []sim.Directive{
		{
			Stage: sim.StageGeneration, Usage: "fail[=CODE]", Effect: "the generation fails with failure_code CODE (generation_failed)",
			Apply: failNamed,
		},
		sim.ResultsDirective(),
	}, sim.LinkDirectives())
}

var failureWord = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

// failNamed applies a failure with a failure_code. It accepts unknown codes, because Luma may add some.
func failNamed(s *sim.Script, value string) error {
	if value != "" && !failureWord.MatchString(value) {
		return errors.New("want a failure code such as content_moderated")
	}
	s.Outcome, s.FailureName = sim.OutcomeGenerateFailed, value
	return nil
}

// Open implements [sim.Profile].
func (p Profile) Open(api *sim.API) sim.Protocol {
	p = p.withDefaults()
	return &protocol{lumalabs.Protocol{API: api}, p.SubmitLimit}
}
