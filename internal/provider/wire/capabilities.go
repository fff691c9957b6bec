package wire

import (
	"cmp"
	"errors"

	"github.com/refract-video/refract/internal/provider"
)

// capabilities returns the capabilities with the limits and durations of the configuration in place of the defaults.
func (c Config) capabilities(defaults provider.Capabilities) (provider.Capabilities, error) {
	if c.PollInterval < 0 || c.TypicalDuration < 0 || c.Limits.Submissions < 0 || c.Limits.Window < 0 ||
		c.Limits.InFlight < 0 || c.Limits.Queries < 0 {
		return provider.Capabilities{}, errors.New("durations and limits: want none below zero")
	}
	caps := defaults
	caps.Limits = provider.Limits{
		Submissions: cmp.Or(c.Limits.Submissions, defaults.Limits.Submissions),
		Window:      cmp.Or(c.Limits.Window, defaults.Limits.Window),
		InFlight:    cmp.Or(c.Limits.InFlight, defaults.Limits.InFlight),
		Queries:     cmp.Or(c.Limits.Queries, defaults.Limits.Queries),
	}
	caps.PollInterval = cmp.Or(c.PollInterval, defaults.PollInterval)
	caps.TypicalDuration = cmp.Or(c.TypicalDuration, defaults.TypicalDuration)
	return caps, nil
}
