package lumalabs

import (
	"math"

	"github.com/refract-video/refract/internal/provider/wire"
)

// Codes returns what every HTTP status means when it is an error: the rows of one API, then those that both have in common.
// The first row that fits counts.
//
// Luma documents what errors say more than the status of each. The rows say what HTTP says, and where that proves nothing
// about a create, the outcome is unknown [I].
func Codes(own ...wire.Row) wire.Table {
	return append(own,
		// from, to, submit, check

		// A parameter is missing or invalid: the prompt, a URL, the strength, the model.
		Row(400, 400, wire.BadInput, wire.Unavailable),
		// Credentials are missing or invalid.
		Row(401, 401, wire.Credentials, wire.Credentials),
		// The balance is insufficient, or the monthly budget is spent.
		Row(402, 402, wire.Credits, wire.Credits),
		// The generation or the endpoint does not exist. Right after a submission Check reads it as "not visible yet".
		Row(404, 404, wire.Rejected, wire.NotFound),
		// Timeout and conflict. Luma's SDKs send again after both, so neither proves that nothing was created.
		Row(408, 409, wire.Ambiguous, wire.Unavailable),
		// The source or the first frame is too large.
		Row(413, 413, wire.BadInput, wire.Unavailable),
		// Validation failed: the parameters don't go together, or the media can't be used or fetched.
		Row(422, 422, wire.BadInput, wire.Unavailable),
		// Too many creates in a minute, or too many generations at a time.
		Row(429, 429, wire.RateLimited, wire.RateLimited),
		// A proxy gave up waiting for the answer to a request that it had passed on.
		Row(499, 499, wire.Ambiguous, wire.Unavailable),

		// A redirect, not followed. A 303 comes after the work was done, and the others can't prove that it was not.
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
