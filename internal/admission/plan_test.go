package admission_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
)

func TestPlan_ChoosesAccountsByTheirFreePermits(t *testing.T) {
	t.Parallel()
	account := func(name string, free int) lifecycle.Usage {
		return lifecycle.Usage{Account: name, Limits: provider.Limits{Submissions: free, InFlight: free}}
	}
	inTrouble := func(u lifecycle.Usage, paused bool) lifecycle.Usage {
		u.Paused, u.Probing, u.Blocked = paused, true, true
		if paused {
			u.Probers = lifecycle.NoTasks
		}
		return u
	}
	limited := account("kie", 3)
	limited.Paused, limited.Probing, limited.Probers = true, true, lifecycle.NoTasks
	probed := inTrouble(account("kie", 5), false)
	doubted := inTrouble(account("kie", 5), true)
	doubted.Probers = lifecycle.OtherTenants
	beingProbed := doubted
	beingProbed.Unanswered = 1
	for _, tc := range []struct {
		name   string
		usages []lifecycle.Usage
		want   lifecycle.Plan
	}{
		{"there is no account", nil, lifecycle.Plan{MoveOn: 100}},
		{"one account", []lifecycle.Usage{account("kie", 2)}, lifecycle.Plan{Permits: []string{"kie", "kie"}}},
		{"the freest goes first", []lifecycle.Usage{account("kie", 1), account("kie-2", 3)}, lifecycle.Plan{Permits: []string{"kie-2", "kie-2", "kie", "kie-2"}}},
		{"none is free", []lifecycle.Usage{account("kie", 0)}, lifecycle.Plan{}},
		{"the only account is paused for its rate", []lifecycle.Usage{limited}, lifecycle.Plan{}},
		{"the only account is in trouble", []lifecycle.Usage{inTrouble(account("kie", 5), true)}, lifecycle.Plan{MoveOn: 100}},
		{"the only account is probed", []lifecycle.Usage{probed}, lifecycle.Plan{Probes: []lifecycle.Usage{probed}}},
		{"a pause is doubted", []lifecycle.Usage{doubted}, lifecycle.Plan{Probes: []lifecycle.Usage{doubted}, MoveOn: 100}},
		{"a probe is under way", []lifecycle.Usage{beingProbed}, lifecycle.Plan{}},
		{"one of two is in trouble", []lifecycle.Usage{inTrouble(account("kie", 5), true), account("kie-2", 1)}, lifecycle.Plan{Permits: []string{"kie-2"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, admission.Plan(tc.usages)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlan_KeepsRoundsShort(t *testing.T) {
	t.Parallel()
	u := lifecycle.Usage{Account: "kie", Limits: provider.Limits{Submissions: 5000, InFlight: 5000}}
	if got := len(admission.Plan([]lifecycle.Usage{u}).Permits); got != 100 {
		t.Errorf("a round admits %d tasks, want 100", got)
	}
}
