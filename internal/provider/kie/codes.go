package kie

import (
	"math"

	"github.com/refract-video/refract/internal/provider"
)

// operation is what we asked of the provider, as errors call it.
type operation string

const (
	opSubmit operation = "submit"
	opCheck  operation = "check"
	opLink   operation = "refresh link"
)

// verdict is what a code means for one operation.
type verdict struct {
	class provider.Class
	pause provider.Pause
	input bool // Whether the prompt or the source is what was refused.
}

var (
	ambiguous   = verdict{class: provider.Ambiguous}
	rejected    = verdict{class: provider.Rejected}
	badInput    = verdict{class: provider.Rejected, input: true}
	rateLimited = verdict{class: provider.RateLimited}
	genFailed   = verdict{class: provider.GenerationFailed}
	notFound    = verdict{class: provider.NotFound}
	unavailable = verdict{class: provider.Unavailable}

	credentials = verdict{class: provider.AccountBlocked, pause: provider.PauseCredentials}
	credits     = verdict{class: provider.AccountBlocked, pause: provider.PauseCredits}
	quota       = verdict{class: provider.AccountBlocked, pause: provider.PauseQuota}
	maintenance = verdict{class: provider.AccountBlocked, pause: provider.PauseMaintenance}
	disabled    = verdict{class: provider.AccountBlocked, pause: provider.PauseDisabled}
	blocked     = verdict{class: provider.AccountBlocked, pause: provider.PauseBlocked}
)

// row gives the verdicts for the codes from..to, one for each operation.
type row struct {
	from, to            int
	submit, check, link verdict
}

// codes is what every effective code means when it is an error: the body's code where there is one
// and it is not 200, else the HTTP status. The first row that fits counts.
//
// For a submission the question is what the code proves about money: Rejected, RateLimited and
// AccountBlocked say that nothing was created, and all that is not proof is Ambiguous.
var codes = []row{
	// from, to, submit, check, link

	// A parameter is missing or invalid.
	{400, 400, badInput, unavailable, rejected},
	// Credentials are missing or invalid.
	{401, 401, credentials, credentials, credentials},
	// Not enough credits.
	{402, 402, credits, credits, credits},
	// The resource or the endpoint does not exist. Right after a submission Check reads it as "not visible yet".
	{404, 404, rejected, notFound, rejected},
	// The upstream gave no result for over 10 minutes. Nothing came back that could be asked about when
	// it answers a submission. It answers a check before the record says so, and a result may still
	// turn up: the next check that reads the record decides.
	{408, 408, ambiguous, unavailable, unavailable},
	// Validation failed; of a check "recordInfo is null", read as 404 is.
	{422, 422, badInput, notFound, rejected},
	// Over the request limit; refused and not queued.
	{429, 429, rateLimited, rateLimited, rateLimited},
	// The key has used up its own allowance.
	{433, 433, quota, quota, quota},
	// Down for maintenance.
	{455, 455, maintenance, maintenance, maintenance},
	// A proxy gave up waiting for what it had passed on.
	{499, 499, ambiguous, unavailable, unavailable},
	// Unexpected server error.
	{500, 500, ambiguous, unavailable, unavailable},
	// Generation failed: the provider tried. To a check this is the task's end.
	{501, 501, genFailed, genFailed, unavailable},
	// The feature is disabled. When it is only links that can't be refreshed, submissions go on.
	{505, 505, disabled, disabled, rejected},

	// A redirect, not followed. A 303 comes after the work was done, and the others can't prove that it was not.
	{300, 399, ambiguous, unavailable, unavailable},
	// Any other 4xx is a refusal of this request.
	{400, 499, rejected, unavailable, rejected},
	// Everything else: other 5xx, codes we have never seen, and a 200 whose body can't be read.
	{math.MinInt, math.MaxInt, ambiguous, unavailable, unavailable},
}

// firewall is a 403 that does not carry the provider's envelope: Cloudflare turned us away (its error
// 1010 dislikes the User-Agent) and the request never reached the API.
var firewall = row{403, 403, blocked, blocked, blocked}

// verdictOn looks the answer's effective code up.
func verdictOn(op operation, a answer) verdict {
	if a.behindFirewall() {
		return firewall.verdict(op)
	}
	code := a.effectiveCode()
	for _, r := range codes {
		if r.from <= code && code <= r.to {
			return r.verdict(op)
		}
	}
	return ambiguous
}

func (r row) verdict(op operation) verdict {
	switch op {
	case opCheck:
		return r.check
	case opLink:
		return r.link
	case opSubmit:
	}
	return r.submit
}
