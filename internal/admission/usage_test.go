package admission_test

import (
	"testing"
	"time"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/provider"
)

func TestPermits_AreWhatTheLimitsLeave(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		usage admission.Usage
		want  int
	}{
		"idle":                   {admission.Usage{}, 20},
		"under way":              {admission.Usage{Unanswered: 3, InFlight: 3}, 17},
		"recent":                 {admission.Usage{Recent: 5}, 15},
		"both":                   {admission.Usage{Unanswered: 3, Recent: 5, InFlight: 8}, 12},
		"window full":            {admission.Usage{Unanswered: 10, Recent: 10}, 0},
		"window overfull":        {admission.Usage{Unanswered: 20, Recent: 20}, 0},
		"in flight":              {admission.Usage{InFlight: 95}, 5},
		"in flight full":         {admission.Usage{InFlight: 100}, 0},
		"in flight overfull":     {admission.Usage{InFlight: 101}, 0},
		"paused":                 {admission.Usage{Paused: true}, 0},
		"paused to be probed":    {admission.Usage{Paused: true, Probing: true}, 0},
		"probing":                {admission.Usage{Probing: true}, 1},
		"probe under way":        {admission.Usage{Probing: true, Unanswered: 1}, 0},
		"probes under way":       {admission.Usage{Probing: true, Unanswered: 4}, 0},
		"probing, window full":   {admission.Usage{Probing: true, Recent: 20}, 0},
		"no limits, no permits":  {admission.Usage{Limits: provider.Limits{InFlight: 100}}, 0},
		"no in flight, none too": {admission.Usage{Limits: provider.Limits{Submissions: 20}}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.usage.Limits == (provider.Limits{}) {
				test.usage.Limits = provider.Limits{Submissions: 20, InFlight: 100}
			}
			if got := test.usage.Permits(); got != test.want {
				t.Errorf("Permits(%+v) = %d, want %d", test.usage, got, test.want)
			}
		})
	}
}

func TestAccountLimits_AnOperatorsGoBeforeTheConfigured(t *testing.T) {
	t.Parallel()
	configured := provider.Limits{Submissions: 20, Window: 10 * time.Second, InFlight: 100}
	limits := admission.AccountLimits{"kie": configured}
	for name, tc := range map[string]struct{ operator, want provider.Limits }{
		"none is set":       {provider.Limits{}, configured},
		"the window is":     {provider.Limits{Submissions: 5, Window: time.Minute}, provider.Limits{Submissions: 5, Window: time.Minute, InFlight: 100}},
		"the in-flight cap": {provider.Limits{InFlight: 3}, provider.Limits{Submissions: 20, Window: 10 * time.Second, InFlight: 3}},
	} {
		u := admission.Usage{Account: "kie", Limits: tc.operator}
		if known := limits.InForce(&u); !known || u.Limits != tc.want {
			t.Errorf("%s: the limits in force are %+v, %t, want %+v", name, u.Limits, known, tc.want)
		}
	}
	if u := (admission.Usage{Account: "gone"}); limits.InForce(&u) {
		t.Errorf("an account that is not configured has limits %+v", u.Limits)
	}
}
