package admission_test

import (
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// TestQueuePosition_NamesTheFirstCause has a task behind two others, in the order in which causes are looked for.
func TestQueuePosition_NamesTheFirstCause(t *testing.T) {
	t.Parallel()
	soon, late := time.Unix(100, 0), time.Unix(200, 0)
	limits := provider.Limits{Submissions: 20, Window: time.Second, InFlight: 100}
	free := admission.Usage{Account: "kie", Limits: limits}
	paused := func(account string, until time.Time) admission.Usage {
		return admission.Usage{Account: account, Limits: limits, Paused: true, PauseReason: "credits", PausedUntil: until}
	}
	used := func(recent, inFlight int) admission.Usage {
		return admission.Usage{Account: "kie", Limits: limits, Recent: recent, InFlight: inFlight}
	}
	for name, tc := range map[string]struct {
		position admission.QueuePosition
		cause    task.WaitCause
		until    time.Time
		message  string
	}{
		"the storage goes before all":   {admission.QueuePosition{Storage: "is full", Source: &admission.SourceWait{}, NotBefore: late}, task.WaitStorage, time.Time{}, "the storage is full"},
		"its source is being prepared":  {admission.QueuePosition{Source: &admission.SourceWait{}, NotBefore: late}, task.WaitSource, time.Time{}, "uploaded to kie"},
		"its source is tried again":     {admission.QueuePosition{Source: &admission.SourceWait{Message: "status 503", Until: soon}}, task.WaitSource, soon, "status 503; it is tried again"},
		"it is delayed":                 {admission.QueuePosition{NotBefore: late, Usages: []admission.Usage{paused("kie", soon)}}, task.WaitDelay, late, "another attempt follows"},
		"there is no account":           {admission.QueuePosition{}, task.WaitProviderPaused, time.Time{}, "no account of kie is configured"},
		"all accounts are paused":       {admission.QueuePosition{Usages: []admission.Usage{paused("kie", late), paused("kie-2", soon)}}, task.WaitProviderPaused, soon, "account kie-2 is paused: credits"},
		"one of two accounts is paused": {admission.QueuePosition{Usages: []admission.Usage{paused("kie", late), free}}, task.WaitAdmission, time.Time{}, "next round"},
		"the tenant has its quota":      {admission.QueuePosition{Usages: []admission.Usage{free}, TenantOpen: 3, TenantMax: 3}, task.WaitTenantShare, time.Time{}, "3 open attempts, and its limit is 3"},
		"the in-flight cap is reached":  {admission.QueuePosition{Usages: []admission.Usage{used(20, 100)}}, task.WaitInFlightCap, time.Time{}, "in flight"},
		"the rate window is full":       {admission.QueuePosition{Usages: []admission.Usage{used(20, 20)}}, task.WaitRateWindow, time.Time{}, "window"},
		"a probe is under way":          {admission.QueuePosition{Usages: []admission.Usage{{Limits: limits, Probing: true, Unanswered: 1}}}, task.WaitProviderPaused, time.Time{}, "probed"},
		"other tasks go first":          {admission.QueuePosition{Usages: []admission.Usage{used(18, 18)}}, task.WaitTenantShare, time.Time{}, "2 tasks of the tenant go first"},
		"a permit is free":              {admission.QueuePosition{Usages: []admission.Usage{used(17, 17)}}, task.WaitAdmission, time.Time{}, "a permit is free"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.position.Ahead = 2
			got := tc.position.Waiting("kie")
			if got.Cause != tc.cause || !got.Until.Equal(tc.until) || !strings.Contains(got.Message, tc.message) || got.Place != 3 {
				t.Errorf("it waits for %+v, want %s until %s with %q at place 3", got, tc.cause, tc.until, tc.message)
			}
		})
	}
}
