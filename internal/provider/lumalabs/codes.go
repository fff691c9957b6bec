package lumalabs

import (
	"math"

	"github.com/refract-video/refract/internal/provider/wire"
)

// Codes returns the meaning of every HTTP status that is an error: the rows of one API, then the rows of both. The first
// matching row applies.
//
// Luma documents the texts of errors, and few of their statuses. The rows follow the meaning of HTTP. Where that proves
// nothing about a submission, the outcome is unknown [I].
func Codes(own ...wire.Row) wire.Table {
	return append(own,
		// from, to, submit, check

		// A parameter is missing or invalid: the prompt, a URL, the strength, the model.
		Row(400, 400, wire.BadInput, wire.Unavailable),
		// Credentials are missing or invalid.
		Row(401, 401, wire.Credentials, wire.Credentials),
		// The balance is insufficient, or the monthly budget is spent.
		Row(402, 402, wire.Credits, wire.Credits),
		// The endpoint of the model, or the generation, does not exist. Right after a submission Check reads it as "not visible yet".
		Row(404, 404, wire.Withdrawn, wire.NotFound),
		// Timeout and conflict. Luma's SDKs send again after both, so neither proves that nothing was created.
		Row(408, 409, wire.Ambiguous, wire.Unavailable),
		// The source or the first frame is too large.
		Row(413, 413, wire.BadInput, wire.Unavailable),
		// Validation failed: the parameters don't go together, or the media can't be used or fetched.
		Row(422, 422, wire.BadInput, wire.Unavailable),
		// Too many creates in a minute, or too many generations at a time.
		Row(429, 429, wire.RateLimited, wire.RateLimited),
		// A proxy timed out after it had forwarded the request.
		Row(499, 499, wire.Ambiguous, wire.Unavailable),

		// A redirect, not followed. A 303 follows a request that was executed, and the others do not prove that it was not.
		Row(300, 399, wire.Ambiguous, wire.Unavailable),
		// Any other 4xx is a refusal of this request.
		Row(400, 499, wire.Rejected, wire.Unavailable),
		// Everything else: 5xx, codes we have never seen, and a 2xx whose body can't be read.
		Row(math.MinInt, math.MaxInt, wire.Ambiguous, wire.Unavailable),
	)
}

// Row leaves out the verdict on links: neither API has a call for them.
func Row(from, to int, submit, check wire.Verdict) wire.Row {
	return wire.Row{From: from, To: to, Submit: submit, Check: check}
}
