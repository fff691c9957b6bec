package kie

import (
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/providertest"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Name: Name,
		Simulate: func(s providertest.Simulation) sim.Profile {
			return simkie.Profile{SubmitLimit: s.SubmitLimit, QueryLimit: s.QueryLimit, WebhookKey: s.SigningKey}
		},
		New: func(t testing.TB, a providertest.Account) provider.Provider {
			t.Helper()
			return newProvider(t, a.BaseURL, func(c *Config) {
				c.APIKey = a.APIKey
				if a.SigningKey != "" {
					c.SigningKeys = []string{a.SigningKey}
				}
			})
		},
		Refusals: map[int]wire.Verdict{
			400: wire.BadInput, 404: wire.Rejected, 408: wire.Ambiguous, 422: wire.BadInput, 433: wire.Quota,
			455: wire.Maintenance, 501: wire.GenFailed, 505: wire.Disabled,
		},
		Failures:        map[string]provider.Cause{"create-fail,reason=no": provider.CauseUnspecified, "fail=422,reason=no": provider.CauseUnspecified},
		SaysMaintenance: true,
	})
}
