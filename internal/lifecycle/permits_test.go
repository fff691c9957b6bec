package lifecycle_test

import (
	"testing"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
)

func TestPermits_AreWhatTheLimitsLeave(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		usage lifecycle.Usage
		want  int
	}{
		"idle":                   {lifecycle.Usage{}, 20},
		"under way":              {lifecycle.Usage{Unanswered: 3, InFlight: 3}, 17},
		"recent":                 {lifecycle.Usage{Recent: 5}, 15},
		"both":                   {lifecycle.Usage{Unanswered: 3, Recent: 5, InFlight: 8}, 12},
		"window full":            {lifecycle.Usage{Unanswered: 10, Recent: 10}, 0},
		"window overfull":        {lifecycle.Usage{Unanswered: 20, Recent: 20}, 0},
		"in flight":              {lifecycle.Usage{InFlight: 95}, 5},
		"in flight full":         {lifecycle.Usage{InFlight: 100}, 0},
		"in flight overfull":     {lifecycle.Usage{InFlight: 101}, 0},
		"paused":                 {lifecycle.Usage{Paused: true}, 0},
		"paused to be probed":    {lifecycle.Usage{Paused: true, Probing: true}, 0},
		"probing":                {lifecycle.Usage{Probing: true}, 1},
		"probe under way":        {lifecycle.Usage{Probing: true, Unanswered: 1}, 0},
		"probes under way":       {lifecycle.Usage{Probing: true, Unanswered: 4}, 0},
		"probing, window full":   {lifecycle.Usage{Probing: true, Recent: 20}, 0},
		"no limits, no permits":  {lifecycle.Usage{Limits: provider.Limits{InFlight: 100}}, 0},
		"no in flight, none too": {lifecycle.Usage{Limits: provider.Limits{Submissions: 20}}, 0},
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
