package wire

import (
	"cmp"
	"errors"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// Settings are what an adapter's configuration can change about its capabilities. Zero fields change
// nothing.
type Settings struct {
	Limits          provider.Limits
	PollInterval    time.Duration
	TypicalDuration time.Duration
}

// Apply returns the capabilities with the settings in place of the defaults.
func (s Settings) Apply(c provider.Capabilities) (provider.Capabilities, error) {
	if s.PollInterval < 0 || s.TypicalDuration < 0 || s.Limits.Submissions < 0 || s.Limits.Window < 0 ||
		s.Limits.InFlight < 0 || s.Limits.Queries < 0 {
		return provider.Capabilities{}, errors.New("durations and limits: want none below zero")
	}
	c.Limits = provider.Limits{
		Submissions: cmp.Or(s.Limits.Submissions, c.Limits.Submissions),
		Window:      cmp.Or(s.Limits.Window, c.Limits.Window),
		InFlight:    cmp.Or(s.Limits.InFlight, c.Limits.InFlight),
		Queries:     cmp.Or(s.Limits.Queries, c.Limits.Queries),
	}
	c.PollInterval = cmp.Or(s.PollInterval, c.PollInterval)
	c.TypicalDuration = cmp.Or(s.TypicalDuration, c.TypicalDuration)
	return c, nil
}
