// Package providertest is the suite that every provider passes, run against the simulator over real sockets. A new
// provider is a package, and one [Subject] that a test of it hands to [Run].
//
// What a provider is tested for comes from its [provider.Capabilities]: a provider that says it signs callbacks meets
// forged ones, one that says it can't exchange links must refuse to. A Subject holds only what capabilities leave open.
//
// Two promises are kept for every case, whatever else it is about (see [watched]). Money: no call sends two requests,
// and an error that says nothing was created is never given where the simulator's ledger shows a paid task. Secrets:
// neither the API key, nor the signing key, nor the callback URL, nor a result link stands in an error or a message.
//
// Every case starts a simulator of its own and waits for what it does, never for time to pass. A simulator that can't
// start fails the case. What depends on no answer at all, such as TLS and HTTP/2, is tested by package wiretest.
package providertest

import (
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/sim"
)

// Subject is a provider to be tested: how to reach it, and the facts that its capabilities don't hold.
type Subject struct {
	// Name is the name of the provider, and of its profile in the simulator.
	Name string
	// Simulate returns that profile, without a cap on concurrent generations.
	Simulate func(s Simulation) sim.Profile
	// New returns the provider for an account. It makes no request, and leaves no connection behind.
	New func(t testing.TB, a Account) provider.Provider

	// Refusals is what the provider's codes mean when they answer a submission, beyond those that mean the same
	// everywhere: bad credentials, no credits, too many requests, and 500, 502 and 504, which prove nothing.
	Refusals map[int]wire.Verdict
	// Failures is what the simulator's directives for failed generations mean. A plain "fail" has no cause anywhere.
	Failures map[string]provider.Cause
	// SaysMaintenance is whether maintenance can be distinguished from other failures. Where it can't, a submission is Ambiguous
	// then and a check Unavailable.
	SaysMaintenance bool
	// SaysRetryAfter is whether a rate limit says how long to wait.
	SaysRetryAfter bool
	// MintsLinks is whether every check returns fresh links.
	MintsLinks bool
}

// Simulation is what the suite asks of a simulator.
type Simulation struct {
	SubmitLimit sim.Limit
	QueryLimit  sim.Limit
	SigningKey  string // Signs callbacks, where the provider does so.
}

// Account is what a provider is configured with.
type Account struct {
	BaseURL    string
	APIKey     string
	SigningKey string // Empty means none. Providers that can't check signatures leave it.
}

// Run runs the suite: a subtest for each group of cases, and in it one for each case, all parallel.
func Run(t *testing.T, s Subject) {
	t.Helper()
	for _, g := range s.groups(t) {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					s.try(t, g, c)
				})
			}
		})
	}
}

// group is a set of cases with one account.
type group struct {
	name       string
	signingKey string
	cases      []testCase
}

// testCase is one thing that providers promise.
type testCase struct {
	name string
	// faults are the simulator's directives for all submissions of the case. Those that the profile does not know
	// change nothing.
	faults string
	config func(*Simulation)
	run    func(*rig)
}

// groups returns the cases that a provider with these capabilities has to pass.
func (s Subject) groups(t testing.TB) []group {
	t.Helper()
	caps := s.capabilities(t, signingKey)
	groups := []group{
		{"capabilities", signingKey, capabilityCases()},
		{"submissions", signingKey, s.submitCases(caps)},
		{"refusals", signingKey, s.refusalCases()},
		{"lost answers", signingKey, lostCases()},
		{"checks", signingKey, s.checkCases()},
		{"callbacks", signingKey, callbackCases(caps.Callbacks)},
		{"links", signingKey, s.linkCases(caps)},
	}
	if caps.Callbacks == provider.SignedCallbacks {
		groups = append(groups, group{"callbacks without a signing key", "", callbackCases(s.capabilities(t, "").Callbacks)})
	}
	return groups
}

func (s Subject) capabilities(t testing.TB, signingKey string) provider.Capabilities {
	t.Helper()
	return s.New(t, Account{BaseURL: "http://127.0.0.1:1", APIKey: apiKey, SigningKey: signingKey}).Capabilities()
}

// try runs one case and looks through all that the provider did in it.
func (s Subject) try(t testing.TB, g group, c testCase) {
	t.Helper()
	r := s.rig(t, g, c)
	defer r.audit()
	c.run(r)
}
