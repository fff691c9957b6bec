package kie

import (
	"math"

	"github.com/refract-video/refract/internal/provider/wire"
)

// codes has the meaning of every error code. The code is that of the body if it has one other than 200, and else
// the HTTP status. The first matching row applies. Withdrawn needs the provider's envelope: see foreignClass.
var codes = wire.Table{
	// from, to, submit, check, link

	// A parameter is missing or invalid.
	row(400, 400, wire.BadInput, wire.Unavailable, wire.Rejected),
	// Credentials are missing or invalid.
	row(401, 401, wire.Credentials, wire.Credentials, wire.Credentials),
	// Not enough credits.
	row(402, 402, wire.Credits, wire.Credits, wire.Credits),
	// The resource or the endpoint does not exist. Of a submission that is the call that sells the model. Right after a
	// submission Check reads it as "not visible yet".
	row(404, 404, wire.Withdrawn, wire.NotFound, wire.Rejected),
	// The upstream gave no result for over 10 minutes. As the answer to a submission, it has no task id to
	// query. As the answer to a check, it is not final, and a result may still appear: the next check that can
	// read the record decides.
	row(408, 408, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// Validation failed; of a check "recordInfo is null", read as 404 is.
	row(422, 422, wire.BadInput, wire.NotFound, wire.Rejected),
	// Over the request limit; refused and not queued.
	row(429, 429, wire.RateLimited, wire.RateLimited, wire.RateLimited),
	// The key has used up its own allowance.
	row(433, 433, wire.Quota, wire.Quota, wire.Quota),
	// Down for maintenance. The pages do not say whether the provider or the model is [U], and the account may have models
	// that still work.
	row(455, 455, wire.Withdrawn, wire.Maintenance, wire.Maintenance),
	// A proxy timed out after it had forwarded the request.
	row(499, 499, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// Unexpected server error.
	row(500, 500, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// Generation failed: the provider tried. For a check, this is final.
	row(501, 501, wire.GenFailed, wire.GenFailed, wire.Unavailable),
	// The feature is disabled: the likely answer for a withdrawn model [I]. If only the renewal of links is disabled,
	// submissions continue.
	row(505, 505, wire.Withdrawn, wire.Disabled, wire.Rejected),

	// A redirect, not followed. A 303 follows a request that was executed, and the others do not prove that it
	// was not.
	row(300, 399, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// Any other 4xx is a refusal of this request.
	row(400, 499, wire.Rejected, wire.Unavailable, wire.Rejected),
	// Everything else: other 5xx, codes we have never seen, and a 200 whose body can't be read.
	row(math.MinInt, math.MaxInt, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
}

func row(from, to int, submit, check, link wire.Verdict) wire.Row {
	return wire.Row{From: from, To: to, Submit: submit, Check: check, Link: link}
}
