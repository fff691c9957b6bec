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
	providertest.Run(t, subject(simkie.Profile{}))
}

// TestConformance_OfTheMarket runs the suite with a model of the market, once as its pages have it and once with every switch of
// the simulator.
func TestConformance_OfTheMarket(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]simkie.Profile{
		"as documented": {UpdateTime: true},
		"otherwise": {
			SayMessage: true, IDPrefix: "task_", OmitRecordID: true, RunningState: "generating", NumericFailCode: true,
			CostTimeMillis: true, JobFailureCode: 400, UnknownTaskCode: 200, OmitNulls: true, CallbackID: simkie.IDBoth,
			Credits: simkie.CreditsNone, Errors: simkie.ErrorsInBoth,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := subject(profile)
			s.Model, s.FailsBadInput = "wan/2-7-videoedit", true
			providertest.Run(t, s)
		})
	}
}

// subject is kie.ai as a profile of the simulator has it.
func subject(profile simkie.Profile) providertest.Subject {
	return providertest.Subject{
		Name: Name,
		Simulate: func(s providertest.Simulation) sim.Profile {
			profile := profile
			profile.SubmitLimit, profile.QueryLimit, profile.WebhookKey = s.SubmitLimit, s.QueryLimit, s.SigningKey
			return profile
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
			400: wire.BadInput, 404: wire.Withdrawn, 408: wire.Ambiguous, 422: wire.BadInput, 433: wire.Quota,
			455: wire.Withdrawn, 501: wire.GenFailed, 505: wire.Withdrawn,
		},
		Failures:        map[string]provider.Cause{"create-fail,reason=no": provider.CauseUnspecified, "fail=422,reason=no": provider.CauseUnspecified},
		SaysMaintenance: true,
	}
}
