package luma

import (
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/providertest"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/sim"
	simluma "github.com/refract-video/refract/internal/sim/luma"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Name: Name,
		Simulate: func(s providertest.Simulation) sim.Profile {
			return simluma.Profile{SubmitLimit: s.SubmitLimit, QueryLimit: s.QueryLimit, MaxConcurrent: -1}
		},
		New: func(t testing.TB, a providertest.Account) provider.Provider {
			t.Helper()
			return newProvider(t, a.BaseURL, func(c *Config) { c.APIKey = a.APIKey })
		},
		Refusals: map[int]wire.Verdict{
			400: wire.BadInput, 403: wire.Credentials, 404: wire.Withdrawn, 408: wire.Ambiguous, 409: wire.Ambiguous,
			410: wire.Disabled, 413: wire.BadInput, 422: wire.BadInput, 503: wire.Ambiguous,
		},
		Failures: map[string]provider.Cause{
			"fail,reason=Contains blacklisted words":       provider.CauseModerated,
			"fail,reason=400: Frame moderation failed":     provider.CauseModerated,
			"fail,reason=Failed to read user input frames": provider.CauseInputUnreachable,
			"fail,reason=Something unknown":                provider.CauseUnspecified,
		},
		SaysRetryAfter: true,
	})
}
