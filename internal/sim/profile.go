package sim

import (
	"sync/atomic"
	"time"
)

// Profile names one of the APIs that the simulator speaks.
type Profile string

// The profiles of the simulator.
const (
	ProfileKie        Profile = "kie"         // The Luma Modify API of kie.ai, at [Server.URL].
	ProfileLuma       Profile = "luma"        // Luma's Dream Machine API v1, at [Server.LumaURL].
	ProfileLumaAgents Profile = "luma-agents" // The Luma Agents API, at [Server.LumaAgentsURL].
)

// Profiles returns every profile.
func Profiles() []Profile { return []Profile{ProfileKie, ProfileLuma, ProfileLumaAgents} }

// terms are what one profile allows and promises. How that looks on the wire is the matter of its [protocol].
type terms struct {
	profile Profile
	submits *meter
	queries *meter
	slots   *slots
	queued  time.Duration // How long a generation waits before it begins.
	retries retries
	// progress says that callbacks tell the begin of a generation too, not its end alone.
	progress bool
	// linkTTL is the life of a result link. With freshLinks each query gives out new ones.
	linkTTL    time.Duration
	freshLinks bool
	// downCode is answered while the profile is under maintenance.
	downCode int
	upAgain  atomic.Int64 // The end of the maintenance in Unix nanoseconds.
}

// retries is how stubbornly a profile delivers a callback.
type retries struct {
	attempts int
	spacing  time.Duration
	timeout  time.Duration
	reuse    bool // Whether a retry carries the headers of the first try.
}

func (t *terms) maintain(d time.Duration) { t.upAgain.Store(time.Now().Add(d).UnixNano()) }
func (t *terms) down() bool               { return time.Now().UnixNano() < t.upAgain.Load() }

// kieDown is kie.ai's code for maintenance; Luma's APIs have the HTTP status.
const kieDown = 455

func kieTerms(c Config) *terms {
	return &terms{
		profile: ProfileKie, downCode: kieDown, linkTTL: c.LinkTTL,
		submits: newMeter(ProfileKie, c.SubmitLimit), queries: newMeter(ProfileKie, c.QueryLimit),
		slots:   newSlots(ProfileKie, -1), // No cap is documented.
		retries: retries{c.CallbackAttempts, c.CallbackSpacing, c.CallbackTimeout, c.CallbackReuseTimestamp},
	}
}

func lumaTerms(c Config) *terms {
	l := c.Luma
	return &terms{
		profile: ProfileLuma, downCode: 503, linkTTL: c.LinkTTL, queued: l.Queued, progress: true,
		submits: newMeter(ProfileLuma, l.SubmitLimit), queries: newMeter(ProfileLuma, l.QueryLimit),
		slots:   newSlots(ProfileLuma, l.MaxConcurrent),
		retries: retries{l.CallbackAttempts, l.CallbackSpacing, l.CallbackTimeout, false},
	}
}

func lumaAgentsTerms(c Config) *terms {
	l := c.LumaAgents
	return &terms{
		profile: ProfileLumaAgents, downCode: 503, linkTTL: l.LinkTTL, freshLinks: true, queued: l.Queued,
		submits: newMeter(ProfileLumaAgents, l.SubmitLimit), queries: newMeter(ProfileLumaAgents, l.QueryLimit),
		slots: newSlots(ProfileLumaAgents, l.MaxConcurrent),
	}
}

// BaseURL returns the address of a profile's API.
func (s *Server) BaseURL(p Profile) string {
	switch p {
	case ProfileLuma:
		return s.LumaURL()
	case ProfileLumaAgents:
		return s.LumaAgentsURL()
	case ProfileKie:
	}
	return s.URL()
}
