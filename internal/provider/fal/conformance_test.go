package fal

import (
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/providertest"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/sim"
	simfal "github.com/refract-video/refract/internal/sim/fal"
)

// restOf returns the address of the host with the key set of a simulator whose queue has a base URL.
func restOf(base string) string { return strings.TrimSuffix(base, "/"+simfal.Name) + simfal.RestPath }

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Name: Name,
		Simulate: func(s providertest.Simulation) sim.Profile {
			return simfal.Profile{SubmitLimit: s.SubmitLimit, QueryLimit: s.QueryLimit, Runners: -1}
		},
		New: func(t testing.TB, a providertest.Account) provider.Provider {
			t.Helper()
			return newProvider(t, a.BaseURL, func(c *Config) { c.APIKey, c.RestURL = a.APIKey, restOf(a.BaseURL) })
		},
		Refusals: map[int]wire.Verdict{
			400: wire.BadInput, 403: wire.Blocked, 404: wire.Withdrawn, 408: wire.Ambiguous, 409: wire.Ambiguous,
			413: wire.BadInput, 422: wire.BadInput, 503: wire.Ambiguous,
		},
		Failures: map[string]provider.Cause{
			"fail=content_policy_violation,reason=no":            provider.CauseModerated,
			"fail=file_download_error,reason=no":                 provider.CauseInputUnreachable,
			"fail=missing,reason=no":                             provider.CauseInputRejected,
			"completed-with-error=runner_disconnected,reason=no": provider.CauseUnspecified,
			"completed-with-error=request_timeout,reason=no":     provider.CauseUnspecified,
		},
		FailsBadInput: true,
	})
}
