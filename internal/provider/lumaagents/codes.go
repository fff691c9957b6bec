package lumaagents

import (
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/lumalabs"
	"github.com/refract-video/refract/internal/provider/wire"
)

// codes returns what every HTTP status means when it is an error. The statuses 400 to 403, 413, 422, 429, 502 and 503 are
// documented [D]. The provider calls 429, 502 and 503 retryable, but only of 429 does that say that nothing was created.
func codes() wire.Table {
	return lumalabs.Codes(
		// The account was suspended or deactivated.
		lumalabs.Row(403, 403, wire.Blocked, wire.Blocked),
	)
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
