package lumaagents

import (
	"math"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// codes is what every HTTP status means when it is an error. The first row that fits counts. The statuses
// 400 to 403, 413, 422, 429, 502 and 503 are documented [D], the others are what HTTP says [I].
//
// The provider calls 429, 502 and 503 retryable, but only of 429 does that say that nothing was created.
var codes = wire.Table{
	// from, to, submit, check

	// A parameter is missing or invalid.
	row(400, 400, wire.BadInput, wire.Unavailable),
	// The API key is missing or invalid.
	row(401, 401, wire.Credentials, wire.Credentials),
	// The balance is insufficient.
	row(402, 402, wire.Credits, wire.Credits),
	// The account was suspended or deactivated.
	row(403, 403, wire.Blocked, wire.Blocked),
	// The generation or the endpoint does not exist. Right after a submission Check reads it as "not visible yet".
	row(404, 404, wire.Rejected, wire.NotFound),
	// Timeout and conflict: neither proves that nothing was created.
	row(408, 409, wire.Ambiguous, wire.Unavailable),
	// The source or the first frame is too large.
	row(413, 413, wire.BadInput, wire.Unavailable),
	// The parameters don't go together, or the media can't be used or fetched.
	row(422, 422, wire.BadInput, wire.Unavailable),
	// Too many creates in 60 s, or too many active generations.
	row(429, 429, wire.RateLimited, wire.RateLimited),
	// A proxy gave up waiting for what it had passed on.
	row(499, 499, wire.Ambiguous, wire.Unavailable),
	// Something behind the API is unavailable, and media could not be taken in.
	row(502, 503, wire.Ambiguous, wire.Unavailable),

	// A redirect, not followed. A 303 comes after the work was done, and the others can't prove that it was not.
	row(300, 399, wire.Ambiguous, wire.Unavailable),
	// Any other 4xx is a refusal of this request.
	row(400, 499, wire.Rejected, wire.Unavailable),
	// Everything else: other 5xx, codes we have never seen, and a 2xx whose body can't be read.
	row(math.MinInt, math.MaxInt, wire.Ambiguous, wire.Unavailable),
}

// row leaves out the verdict on links, which the API knows nothing about.
func row(from, to int, submit, check wire.Verdict) wire.Row {
	return wire.Row{From: from, To: to, Submit: submit, Check: check}
}

// causes is what every documented failure_code of a failed generation means [D]. All of them end the
// generation. The provider recommends to try again after the ones that are CauseUnspecified, as do we after
// codes that are not in the table.
var causes = map[string]provider.Cause{
	"content_moderated":  provider.CauseModerated,
	"generation_failed":  provider.CauseUnspecified, // An error inside the model.
	"budget_exhausted":   provider.CauseOutOfCredits,
	"output_not_found":   provider.CauseUnspecified, // The result was made and lost.
	"image_too_large":    provider.CauseInputTooLarge,
	"unsupported_format": provider.CauseInputUnsupported,
	"corrupt_input":      provider.CauseInputUnsupported,
	"invalid_request":    provider.CauseInputRejected,
	"rate_limited":       provider.CauseUnspecified, // Something behind the API had no capacity.
}
