package luma

import (
	"math"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// codes is what every HTTP status means when it is an error. The first row that fits counts.
//
// Luma documents what errors say, in a body with "detail", but not the status of each; the rows say what
// HTTP says, and where that proves nothing about a create, the outcome is unknown [I].
var codes = wire.Table{
	// from, to, submit, check

	// A parameter is missing or invalid: the prompt, a URL, the mode, the model.
	row(400, 400, wire.BadInput, wire.Unavailable),
	// Credentials are missing or invalid.
	row(401, 401, wire.Credentials, wire.Credentials),
	// Not enough credits, or the monthly budget is spent.
	row(402, 402, wire.Credits, wire.Credits),
	// The key may not do this. Without an error body it is a firewall's, see wire.Client.Judge.
	row(403, 403, wire.Credentials, wire.Credentials),
	// The generation or the endpoint does not exist. Right after a submission Check reads it as "not visible yet".
	row(404, 404, wire.Rejected, wire.NotFound),
	// Timeout and conflict. The SDKs send again after both, so neither proves that nothing was created.
	row(408, 409, wire.Ambiguous, wire.Unavailable),
	// The legacy API is switched off.
	row(410, 410, wire.Disabled, wire.Unavailable),
	// The source is too large.
	row(413, 413, wire.BadInput, wire.Unavailable),
	// Validation failed.
	row(422, 422, wire.BadInput, wire.Unavailable),
	// Too many creates in a minute, or too many generations at a time.
	row(429, 429, wire.RateLimited, wire.RateLimited),
	// A proxy gave up waiting for what it had passed on.
	row(499, 499, wire.Ambiguous, wire.Unavailable),

	// A redirect, not followed. A 303 comes after the work was done, and the others can't prove that it was not.
	row(300, 399, wire.Ambiguous, wire.Unavailable),
	// Any other 4xx is a refusal of this request.
	row(400, 499, wire.Rejected, wire.Unavailable),
	// Everything else: 5xx, codes we have never seen, and a 2xx whose body can't be read.
	row(math.MinInt, math.MaxInt, wire.Ambiguous, wire.Unavailable),
}

// row leaves out the verdict on links, which the API knows nothing about.
func row(from, to int, submit, check wire.Verdict) wire.Row {
	return wire.Row{From: from, To: to, Submit: submit, Check: check}
}

// causes are the failure reasons that Luma documents and that tell more than "it failed". The first whose
// words stand in a generation's failure_reason, in whatever case, counts. The reason is free text, so a
// match is believed for what callers are told and for nothing else.
var causes = []struct {
	words string
	cause provider.Cause
}{
	{"contains blacklisted words", provider.CauseModerated},
	{"advanced prompt moderation failed", provider.CauseModerated},
	{"frame moderation failed", provider.CauseModerated},
	{"failed to read user input frames", provider.CauseInputUnreachable},
}
