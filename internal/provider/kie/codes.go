package kie

import (
	"math"

	"github.com/refract-video/refract/internal/provider/wire"
)

// codes is what every effective code means when it is an error: the body's code where there is one
// and it is not 200, else the HTTP status. The first row that fits counts.
var codes = wire.Table{
	// from, to, submit, check, link

	// A parameter is missing or invalid.
	row(400, 400, wire.BadInput, wire.Unavailable, wire.Rejected),
	// Credentials are missing or invalid.
	row(401, 401, wire.Credentials, wire.Credentials, wire.Credentials),
	// Not enough credits.
	row(402, 402, wire.Credits, wire.Credits, wire.Credits),
	// The resource or the endpoint does not exist. Right after a submission Check reads it as "not visible yet".
	row(404, 404, wire.Rejected, wire.NotFound, wire.Rejected),
	// The upstream gave no result for over 10 minutes. Nothing came back that could be asked about when
	// it answers a submission. It answers a check before the record says so, and a result may still
	// turn up: the next check that reads the record decides.
	row(408, 408, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// Validation failed; of a check "recordInfo is null", read as 404 is.
	row(422, 422, wire.BadInput, wire.NotFound, wire.Rejected),
	// Over the request limit; refused and not queued.
	row(429, 429, wire.RateLimited, wire.RateLimited, wire.RateLimited),
	// The key has used up its own allowance.
	row(433, 433, wire.Quota, wire.Quota, wire.Quota),
	// Down for maintenance.
	row(455, 455, wire.Maintenance, wire.Maintenance, wire.Maintenance),
	// A proxy gave up waiting for what it had passed on.
	row(499, 499, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// Unexpected server error.
	row(500, 500, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// Generation failed: the provider tried. To a check this is the task's end.
	row(501, 501, wire.GenFailed, wire.GenFailed, wire.Unavailable),
	// The feature is disabled. When it is only links that can't be refreshed, submissions go on.
	row(505, 505, wire.Disabled, wire.Disabled, wire.Rejected),

	// A redirect, not followed. A 303 comes after the work was done, and the others can't prove that it was not.
	row(300, 399, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// Any other 4xx is a refusal of this request.
	row(400, 499, wire.Rejected, wire.Unavailable, wire.Rejected),
	// Everything else: other 5xx, codes we have never seen, and a 200 whose body can't be read.
	row(math.MinInt, math.MaxInt, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
}

func row(from, to int, submit, check, link wire.Verdict) wire.Row {
	return wire.Row{From: from, To: to, Submit: submit, Check: check, Link: link}
}
