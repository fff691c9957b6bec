package admission_test

import (
	"testing"
	"time"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// TestCensus_WhatAGroupWaitsFor has the cause of a group of QUEUED tasks by the state of the provider's accounts.
func TestCensus_WhatAGroupWaitsFor(t *testing.T) {
	t.Parallel()
	limits := provider.Limits{Submissions: 2, Window: time.Second, InFlight: 3}
	account := func(u admission.Usage) admission.Account {
		u.Account, u.Limits = "kie", limits
		return admission.Account{Provider: "kie", Usage: u}
	}
	elsewhere := admission.Account{Provider: "luma", Usage: admission.Usage{Account: "luma", Limits: limits}}
	for name, tc := range map[string]struct {
		account admission.Account
		storage string
		own     task.WaitCause
		want    task.WaitCause
	}{
		"a permit is free":                      {account(admission.Usage{}), "", "", task.WaitAdmission},
		"the window is full":                    {account(admission.Usage{Recent: 2}), "", "", task.WaitRateWindow},
		"as much is in flight as may be":        {account(admission.Usage{InFlight: 3}), "", "", task.WaitInFlightCap},
		"the account is paused":                 {account(admission.Usage{Paused: true}), "", "", task.WaitProviderPaused},
		"nothing can be stored":                 {account(admission.Usage{}), "is missing", "", task.WaitStorage},
		"each task waits for its source":        {account(admission.Usage{Paused: true}), "", task.WaitSource, task.WaitSource},
		"the storage comes first for all tasks": {account(admission.Usage{}), "is missing", task.WaitSource, task.WaitStorage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := admission.Census{Accounts: []admission.Account{elsewhere, tc.account}, Storage: tc.storage}
			if got := c.Waiting(admission.TaskGroup{Provider: "kie", State: task.Queued, Cause: tc.own}); got != tc.want {
				t.Errorf("the tasks wait for %s, want %s", got, tc.want)
			}
		})
	}
}

// TestCensus_ClosedAdmissionKeepsEveryTask has groups that wait for something else as well.
func TestCensus_ClosedAdmissionKeepsEveryTask(t *testing.T) {
	t.Parallel()
	c := admission.Census{Closed: true, Storage: "is missing"}
	for _, cause := range []task.WaitCause{"", task.WaitSource} {
		if got := c.Waiting(admission.TaskGroup{Provider: "kie", State: task.Queued, Cause: cause}); got != task.WaitAdmissionClosed {
			t.Errorf("a group with the cause %q waits for %q, want %q", cause, got, task.WaitAdmissionClosed)
		}
	}
}
