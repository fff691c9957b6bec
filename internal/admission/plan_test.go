package admission_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/provider"
)

func TestPlan_ChoosesAccountsByTheirFreePermits(t *testing.T) {
	t.Parallel()
	account := func(name string, free int) admission.Usage {
		return admission.Usage{Account: name, Limits: provider.Limits{Submissions: free, InFlight: free}}
	}
	inTrouble := func(u admission.Usage, paused bool) admission.Usage {
		u.Paused, u.Probing, u.Blocked = paused, true, true
		if paused {
			u.Probers = admission.NoTasks
		}
		return u
	}
	limited := account("kie", 3)
	limited.Paused, limited.Probing, limited.Probers = true, true, admission.NoTasks
	probed := inTrouble(account("kie", 5), false)
	doubted := inTrouble(account("kie", 5), true)
	doubted.Probers = admission.OtherTenants
	beingProbed := doubted
	beingProbed.Unanswered = 1
	for _, tc := range []struct {
		name   string
		usages []admission.Usage
		want   admission.Plan
	}{
		{"there is no account", nil, admission.Plan{MoveOn: 100}},
		{"one account", []admission.Usage{account("kie", 2)}, admission.Plan{Permits: []string{"kie", "kie"}}},
		{"the freest goes first", []admission.Usage{account("kie", 1), account("kie-2", 3)}, admission.Plan{Permits: []string{"kie-2", "kie-2", "kie", "kie-2"}}},
		{"none is free", []admission.Usage{account("kie", 0)}, admission.Plan{}},
		{"the only account is paused for its rate", []admission.Usage{limited}, admission.Plan{}},
		{"the only account is in trouble", []admission.Usage{inTrouble(account("kie", 5), true)}, admission.Plan{MoveOn: 100}},
		{"the only account is probed", []admission.Usage{probed}, admission.Plan{Probes: []admission.Usage{probed}}},
		{"a pause is doubted", []admission.Usage{doubted}, admission.Plan{Probes: []admission.Usage{doubted}, MoveOn: 100}},
		{"a probe is under way", []admission.Usage{beingProbed}, admission.Plan{}},
		{"one of two is in trouble", []admission.Usage{inTrouble(account("kie", 5), true), account("kie-2", 1)}, admission.Plan{Permits: []string{"kie-2"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, roundAt(tc.usages...).Plan(tc.usages)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlan_KeepsRoundsShort(t *testing.T) {
	t.Parallel()
	u := admission.Usage{Account: "kie", Limits: provider.Limits{Submissions: 5000, InFlight: 5000}}
	if got := len(roundAt(u).Plan([]admission.Usage{u}).Permits); got != 100 {
		t.Errorf("a round admits %d tasks, want 100", got)
	}
}

func TestPlan_MovesNothingOnWhileAnotherReplicaHoldsAnAccount(t *testing.T) {
	t.Parallel()
	blocked, other := admission.Usage{Account: "kie", Paused: true, Blocked: true, Probing: true, Probers: admission.NoTasks}, admission.Usage{Account: "kie-2"}
	r := roundAt(blocked, other)
	for _, usages := range [][]admission.Usage{nil, {blocked}} {
		if diff := cmp.Diff(admission.Plan{}, r.Plan(usages)); diff != "" {
			t.Errorf("plan for %d of 2 accounts (-want +got):\n%s", len(usages), diff)
		}
	}
}

// roundAt returns a round at a provider with these accounts.
func roundAt(usages ...admission.Usage) admission.Round {
	r := admission.Round{Limits: admission.AccountLimits{}}
	for _, u := range usages {
		r.Limits[u.Account] = u.Limits
	}
	return r
}
