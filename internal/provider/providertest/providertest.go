// Package providertest is the suite that every provider passes. It runs against the simulator over real sockets. A test of each
// provider calls [Run] with a [Subject].
//
// The [provider.Capabilities] select the cases: a provider that signs callbacks gets forged ones, and a provider that can't
// renew links must refuse to do so. A Subject has only the facts that capabilities do not have.
//
// Every case also checks two promises (see [watched]). Costs: no call sends two requests, and no error means "nothing was
// created" if the simulator's ledger has a paid task. Secrets: no error or message contains the API key, the signing key, the
// callback URL or a result link.
//
// Every case starts its own simulator. It waits for events and never for a time. If the simulator can't start, the case fails.
// Package wiretest tests the parts that do not depend on answers, such as TLS and HTTP/2.
package providertest

import (
	"testing"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/sim"
)

// Subject is a provider under test: how to reach it, and the facts that its capabilities do not have.
type Subject struct {
	// Name is the name of the provider, and of its profile in the simulator.
	Name string
	// Model is the model that the cases ask for, of a provider with several calls. Empty means the provider's default. The
	// submissions of every offering of the provider are tested in any case.
	Model string
	// Simulate returns that profile, without a cap on concurrent generations.
	Simulate func(s Simulation) sim.Profile
	// New returns the provider for an account. It makes no request, and leaves no connection behind.
	New func(t testing.TB, a Account) provider.Provider

	// Refusals has the meanings of the provider's codes as answers to a submission, except for those with the same meaning at
	// every provider: bad credentials, no credits, too many requests, and 500, 502 and 504, which prove nothing.
	Refusals map[int]wire.Verdict
	// Failures has the meanings of the simulator's directives for failed generations. A plain "fail" has no cause at any
	// provider.
	Failures map[string]provider.Cause
	// SaysMaintenance is whether maintenance can be distinguished from other failures. Then a submission during maintenance is
	// Withdrawn, since the provider does not say whether it concerns all models. If not, a submission is Ambiguous and a check
	// Unavailable.
	SaysMaintenance bool
	// FailsBadInput is whether an input that can't be used is taken, and fails the task. If not, it is refused.
	FailsBadInput bool
	// SaysRetryAfter is whether the answer to a rate-limited call has a Retry-After.
	SaysRetryAfter bool
	// MintsLinks is whether every check returns fresh links.
	MintsLinks bool
}

// Simulation is the configuration of a simulator.
type Simulation struct {
	SubmitLimit sim.Limit
	QueryLimit  sim.Limit
	SigningKey  string // Signs callbacks, where the provider does so.
}

// Account is the configuration of a provider.
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

// testCase is a test of one behavior of providers.
type testCase struct {
	name string
	// faults are the simulator's directives for all submissions of the case. Directives that the profile does not know have no
	// effect.
	faults string
	config func(*Simulation)
	run    func(*rig)
}

// groups returns the cases that a provider with these capabilities must pass.
func (s Subject) groups(t testing.TB) []group {
	t.Helper()
	caps := s.capabilities(t, signingKey)
	groups := []group{
		{"capabilities", signingKey, capabilityCases()},
		{"submissions", signingKey, s.submitCases(s.offerings(t))},
		{"refusals", signingKey, s.refusalCases()},
		{"lost answers", signingKey, lostCases()},
		{"checks", signingKey, s.checkCases()},
		{"callbacks", signingKey, callbackCases(caps.Callbacks)},
		{"links", signingKey, s.linkCases(caps)},
	}
	if caps.Callbacks == provider.IDSignedCallbacks {
		groups = append(groups, group{"callbacks without a signing key", "", callbackCases(s.capabilities(t, "").Callbacks)})
	}
	return groups
}

// offerings returns the offerings of the provider in the built-in catalog.
func (s Subject) offerings(t testing.TB) (offerings []*catalog.Offering) {
	t.Helper()
	all, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all.Models() {
		if o := m.At(s.Name); o != nil {
			offerings = append(offerings, o)
		}
	}
	if len(offerings) == 0 {
		t.Fatalf("%s has no offering in the catalog", s.Name)
	}
	return offerings
}

// offering returns the offering of a task that names the provider, and the subject's model or none.
func (s Subject) offering(t testing.TB) *catalog.Offering {
	t.Helper()
	for _, o := range s.offerings(t) {
		if o.Model == s.Model || s.Model == "" && o.Default {
			return o
		}
	}
	t.Fatalf("%s has no offering of the model %q", s.Name, s.Model)
	return nil
}

func (s Subject) capabilities(t testing.TB, signingKey string) provider.Capabilities {
	t.Helper()
	return s.New(t, Account{BaseURL: "http://127.0.0.1:1", APIKey: apiKey, SigningKey: signingKey}).Capabilities()
}

// try runs one case, and checks every request, error and message of the provider in it.
func (s Subject) try(t testing.TB, g group, c testCase) {
	t.Helper()
	r := s.rig(t, g, c)
	defer r.audit()
	c.run(r)
}
