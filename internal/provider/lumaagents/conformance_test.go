package lumaagents

import (
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/providertest"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/sim"
	simlumaagents "github.com/refract-video/refract/internal/sim/lumaagents"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Name: Name,
		Simulate: func(s providertest.Simulation) sim.Profile {
			return simlumaagents.Profile{SubmitLimit: s.SubmitLimit, QueryLimit: s.QueryLimit, MaxConcurrent: -1}
		},
		New: func(t testing.TB, a providertest.Account) provider.Provider {
			t.Helper()
			return newProvider(t, a.BaseURL, func(c *Config) { c.APIKey = a.APIKey })
		},
		Refusals: map[int]wire.Verdict{
			400: wire.BadInput, 403: wire.Blocked, 404: wire.Withdrawn, 408: wire.Ambiguous, 409: wire.Ambiguous,
			413: wire.BadInput, 422: wire.BadInput, 503: wire.Ambiguous,
		},
		Failures: map[string]provider.Cause{
			"fail=content_moderated,reason=no":  provider.CauseModerated,
			"fail=budget_exhausted,reason=no":   provider.CauseOutOfCredits,
			"fail=image_too_large,reason=no":    provider.CauseInputTooLarge,
			"fail=unsupported_format,reason=no": provider.CauseInputUnsupported,
			"fail=invalid_request,reason=no":    provider.CauseInputRejected,
			"fail=unheard_of,reason=no":         provider.CauseUnspecified,
		},
		SaysRetryAfter: true,
		MintsLinks:     true,
	})
}
