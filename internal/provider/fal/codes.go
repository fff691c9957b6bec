package fal

import (
	"math"

	"github.com/refract-video/refract/internal/provider/wire"
)

// codes has the meaning of every HTTP status that is an error. The first matching row applies.
//
// fal documents the errors of requests that ran, and few answers to submissions. The rows follow the meaning of HTTP. Where that
// proves nothing about a submission, the outcome is unknown [I].
var codes = wire.Table{
	// from, to, submit, check, upload

	// The request is malformed, such as a header. For a result it also means "still in progress" [T].
	row(400, 400, wire.BadInput, wire.Unavailable, wire.Rejected),
	// Credentials are missing or invalid.
	row(401, 401, wire.Credentials, wire.Credentials, wire.Credentials),
	// No credits, by the meaning of HTTP; an empty balance is a 403.
	row(402, 402, wire.Credits, wire.Credits, wire.Credits),
	// The user is locked, or the key may not do this. judge distinguishes an exhausted balance by its words. A key that may not
	// upload may still submit.
	row(403, 403, wire.Blocked, wire.Blocked, wire.Rejected),
	// The queue has no such model: "Application not found" [T]. In other words it says nothing about the model, see judge. For
	// a check, the request does not exist, or fal has deleted its answer; a page says nothing about that either.
	row(404, 404, wire.Withdrawn, wire.NotFound, wire.Rejected),
	// Timeout and conflict. fal's clients send again after both [S], so neither proves that nothing was created.
	row(408, 409, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// The inputs are too large.
	row(413, 413, wire.BadInput, wire.Unavailable, wire.Rejected),
	// Validation failed. Most models check their inputs later, when they run.
	row(422, 422, wire.BadInput, wire.Unavailable, wire.Rejected),
	// Too many requests, or a queue that is longer than asked for.
	row(429, 429, wire.RateLimited, wire.RateLimited, wire.RateLimited),
	// The connection ended while the request was handled.
	row(499, 499, wire.Ambiguous, wire.Unavailable, wire.Unavailable),

	// A redirect, not followed. A 303 follows a request that was executed, and the others do not prove that it was not.
	row(300, 399, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
	// Any other 4xx is a refusal of this request.
	row(400, 499, wire.Rejected, wire.Unavailable, wire.Rejected),
	// Everything else: 5xx, codes we have never seen, and a 2xx whose body can't be read.
	row(math.MinInt, math.MaxInt, wire.Ambiguous, wire.Unavailable, wire.Unavailable),
}

func row(from, to int, submit, check, upload wire.Verdict) wire.Row {
	return wire.Row{From: from, To: to, Submit: submit, Check: check, Link: upload}
}
