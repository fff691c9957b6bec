package lifecycle_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// pausing has an answer of each class that pauses an account. fault is why a task ends that alone is answered so.
var pausing = []struct {
	name   string
	answer *provider.Error
	fault  task.Reason // Empty where it does not end.
	wait   string      // For how long another tenant's task waits.
}{
	{"firewall", blockedBy(provider.PauseBlocked), task.ProviderRejected, "00:00:00"},
	{"maintenance", blockedBy(provider.PauseMaintenance), task.ProviderRejected, "00:00:00"},
	{"offering gone", blockedBy(provider.PauseDisabled), task.ProviderRejected, "00:00:00"},
	{"bad key", blockedBy(provider.PauseCredentials), task.ProviderRejected, "00:00:00"},
	{"key's allowance", blockedBy(provider.PauseQuota), task.ProviderRejected, "00:00:00"},
	{"no credits", blockedBy(provider.PauseCredits), task.InsufficientCredits, "00:00:00"},
	{"rest asked for", &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseBlocked, RetryAfter: 24 * time.Hour}, task.ProviderRejected, "00:00:30"},
	{"rate limit", &provider.Error{Class: provider.RateLimited}, "", "00:00:05"},
	{"no connection", &provider.Error{Class: provider.NotSent}, "", "00:00:02"},
}

func blockedBy(why provider.Pause) *provider.Error {
	return &provider.Error{Class: provider.AccountBlocked, Pause: why}
}

// probed is a fleet with tasks that were each submitted by a tenant.
type probed struct{ fleet }

// add submits a task that may go to other providers, too.
func (s probed) add(t *testing.T, tenant string, fallbacks ...string) task.ID {
	t.Helper()
	spec := task.Spec{Prompt: "snow", Provider: "kie", Fallbacks: fallbacks}
	submitted, err := s.Submit(t.Context(), tenant, uuid.NewString(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return submitted.ID
}

// next admits what may go, and checks which tasks that were.
func (s probed) next(t *testing.T, want ...task.ID) {
	t.Helper()
	for n := 1; n > 0; {
		n = s.round(t)
	}
	got := s.strings(t, "SELECT task_id::text FROM attempt WHERE state = 'SUBMITTING' ORDER BY task_id")
	slices.Sort(want)
	for i, id := range want {
		if i >= len(got) || string(id) != got[i] {
			t.Fatalf("tasks %v are being submitted, want %v", got, want)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("tasks %v are being submitted, want %v", got, want)
	}
}

// reply answers the attempt of a task that is being submitted.
func (s probed) reply(t *testing.T, id task.ID, answer *provider.Error) {
	t.Helper()
	got := s.strings(t, "SELECT id::text FROM attempt WHERE state = 'SUBMITTING' AND task_id = $1", id)
	if len(got) != 1 {
		t.Fatalf("task %s has attempts %v that are being submitted, want one", id, got)
	}
	err := s.Send(t.Context(), task.AttemptID(got[0]), "", func(context.Context, task.Task) (provider.Receipt, error) {
		if answer == nil {
			return provider.Receipt{TaskID: "p-" + got[0]}, nil
		}
		return provider.Receipt{}, answer
	})
	if err != nil {
		t.Fatal(err)
	}
	s.exec(t, "UPDATE task SET not_before_time = NULL WHERE state = 'QUEUED'") // Its own wait has passed.
}

func (s probed) strings(t *testing.T, sql string, args ...any) []string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	return got
}

// gate is how long after the newest trouble some tasks may probe.
func (s probed) gate(t *testing.T, column string) string {
	t.Helper()
	return s.strings(t, "SELECT ("+column+" - pause_time)::text FROM provider_account WHERE account = 'kie'")[0]
}

// pass lets the account's pause pass.
func (s probed) pass(t *testing.T) {
	t.Helper()
	s.exec(t, "UPDATE provider_account SET paused_until_time = now()")
}

// ended checks that a task failed at its n-th refusal, unpaid.
func (s probed) ended(t *testing.T, id task.ID, why task.Reason, n string) {
	t.Helper()
	got := s.strings(t, "SELECT concat_ws(' ', state, failure_reason, failure_payment, failure_message) FROM task WHERE id = $1", id)
	want := "FAILED " + string(why) + " NONE the provider refused this task's request " + n + " times while it accepted others: "
	if !strings.HasPrefix(got[0], want) {
		t.Errorf("the task is %q, want %q", got[0], want)
	}
}

func (s probed) paused(t *testing.T, want bool) {
	t.Helper()
	if got := s.strings(t, "SELECT (paused_until_time IS NOT NULL)::text FROM provider_account WHERE account = 'kie'"); (got[0] == "true") != want {
		t.Fatalf("the account is paused: %s, want %t", got[0], want)
	}
}

// TestProbe_ATaskAtFaultStopsNobody has, for each class that pauses an account, a task that alone is answered so. Others go
// after each of its refusals, the task is never probed with while another waits, and it ends where it can be at fault.
func TestProbe_ATaskAtFaultStopsNobody(t *testing.T) {
	t.Parallel()
	for _, class := range pausing {
		t.Run(class.name, func(t *testing.T) {
			t.Parallel()
			s := probed{setupFleet(t, 1000, 1000)}
			poison := s.add(t, "films")
			s.next(t, poison)
			s.reply(t, poison, class.answer) // The first of its tries.
			s.paused(t, true)
			other := s.add(t, "music")
			if gate := s.gate(t, "tenant_probe_time"); class.wait != gate {
				t.Errorf("another tenant may probe after %s, want %s", gate, class.wait)
			}
			s.exec(t, "UPDATE provider_account SET tenant_probe_time = now()")
			s.next(t, other)
			s.reply(t, other, nil)
			s.paused(t, false)
			refusals := 1
			for range 5 {
				if class.fault != "" && refusals == 3 {
					break
				}
				other := s.add(t, "music")
				s.next(t, poison, other)
				s.reply(t, poison, class.answer)
				refusals++
				s.paused(t, class.fault == "")
				s.reply(t, other, nil) // Admitted before, so it proves nothing.
				s.paused(t, class.fault == "")
				if class.fault == "" {
					s.pass(t)
					sibling := s.add(t, "films")
					s.next(t, sibling)
					s.reply(t, sibling, nil)
				}
			}
			if class.fault != "" {
				s.ended(t, poison, class.fault, "3")
			} else if got := s.states(t, []task.ID{poison}); got[0] != task.Queued {
				t.Errorf("the task is %s, want it QUEUED until its deadline", got[0])
			}
		})
	}
}

// TestProbe_TheOnlyTaskProbesAtGrowingIntervals leaves a task alone for long. A task that comes then waits no longer than for the
// first pause, and a task of another tenant does not wait at all.
func TestProbe_TheOnlyTaskProbesAtGrowingIntervals(t *testing.T) {
	t.Parallel()
	s := probed{setupFleet(t, 1000, 100)}
	poison := s.add(t, "films")
	for i, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute} {
		s.next(t, poison)
		s.pause.extended = 0
		s.noteTime(t)
		s.reply(t, poison, blockedBy(provider.PauseBlocked))
		s.expectPause(t, want, "blocked", i+1)
		s.next(t)
		if i < 3 {
			s.pass(t)
		}
	}
	sibling := s.add(t, "films")
	s.next(t) // Not before the first pause would have ended.
	if gate := s.gate(t, "task_probe_time"); gate != "00:00:30" {
		t.Errorf("another task of the tenant may probe after %s, want 30 s", gate)
	}
	s.exec(t, "UPDATE provider_account SET task_probe_time = now()")
	s.next(t, sibling)
	s.reply(t, sibling, blockedBy(provider.PauseBlocked))
	s.next(t)
	other := s.add(t, "music")
	s.next(t, other) // Though the pause has become longer.
	s.reply(t, other, nil)
	s.paused(t, false)
}

// TestProbe_PausesOfRealTroubleGrow has an account that refuses every task.
func TestProbe_PausesOfRealTroubleGrow(t *testing.T) {
	t.Parallel()
	s := probed{setupFleet(t, 1000, 100)}
	for i, tenant := range []string{"a", "b", "c", "d"} {
		id := s.add(t, tenant)
		s.next(t, id)
		s.reply(t, id, blockedBy(provider.PauseCredits))
		gate := s.gate(t, "tenant_probe_time")
		if want := []string{"00:00:00", "00:00:30", "00:01:30", "00:03:30"}[i]; gate != want {
			t.Errorf("after %d tenants another may probe after %s, want %s", i+1, gate, want)
		}
		s.exec(t, "UPDATE provider_account SET tenant_probe_time = now()")
	}
	s.pass(t)
	oldest := s.strings(t, "SELECT task_id::text FROM attempt ORDER BY create_time LIMIT 1")
	s.next(t, task.ID(oldest[0]))
}

// TestProbe_TwoTasksAtFault has each of them vouch for nothing.
func TestProbe_TwoTasksAtFault(t *testing.T) {
	t.Parallel()
	s := probed{setupFleet(t, 1000, 100)}
	no := blockedBy(provider.PauseBlocked)
	a, b := s.add(t, "films"), s.add(t, "films")
	s.next(t, a, b) // The first of a batch, and the second.
	s.reply(t, a, no)
	s.reply(t, b, no)
	s.next(t)
	for range 2 {
		other := s.add(t, "music")
		if got := s.states(t, []task.ID{a})[0]; got != task.Queued {
			t.Fatalf("the first task is %s, want QUEUED", got)
		}
		if len(s.strings(t, "SELECT account FROM provider_account WHERE pauses > 0")) > 0 {
			s.next(t, other)
			s.reply(t, other, nil)
			s.next(t, a, b)
		} else {
			s.next(t, a, b, other)
			s.reply(t, other, nil)
		}
		s.reply(t, a, no)
		s.reply(t, b, no)
		s.paused(t, false)
	}
	s.ended(t, a, task.ProviderRejected, "3")
	s.ended(t, b, task.ProviderRejected, "3")
}

// TestProbe_ATroubleOfAllIsNobodysFault has an account that refuses, accepts, and refuses everybody again.
func TestProbe_ATroubleOfAllIsNobodysFault(t *testing.T) {
	t.Parallel()
	s := probed{setupFleet(t, 1000, 100)}
	no := blockedBy(provider.PauseCredits)
	id, sibling := s.add(t, "films"), s.add(t, "films")
	s.next(t, id, sibling)
	s.reply(t, id, no)
	s.reply(t, sibling, no)
	other := s.add(t, "music")
	s.next(t, other)
	s.reply(t, other, nil)
	other = s.add(t, "music")
	s.next(t, id, sibling, other)
	s.reply(t, other, no) // Everybody again, so the next refusal is not the task's fault.
	s.paused(t, true)
	for range 4 {
		s.reply(t, id, no)
		s.reply(t, sibling, no)
		if got := s.states(t, []task.ID{id, sibling}); !slices.Equal(got, []task.State{task.Queued, task.Queued}) {
			t.Fatalf("the tasks are %v, want them QUEUED", got)
		}
		s.exec(t, "UPDATE provider_account SET pauses = 0, paused_until_time = NULL")
		s.exec(t, "UPDATE task SET not_before_time = 'infinity' WHERE state = 'QUEUED' AND tenant = 'music'")
		s.next(t, id, sibling)
	}
}

// TestProbe_WhatBefallsAnyTaskIsHeldAgainstNone has a task that met a rate limit before the account was really blocked: it is the
// first that says so, and the account pauses.
func TestProbe_WhatBefallsAnyTaskIsHeldAgainstNone(t *testing.T) {
	t.Parallel()
	for name, chance := range map[string]*provider.Error{
		"a rate limit":  {Class: provider.RateLimited},
		"no connection": {Class: provider.NotSent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := probed{setupFleet(t, 1000, 100)}
			id := s.add(t, "films")
			s.next(t, id)
			s.reply(t, id, chance)
			other := s.add(t, "music")
			s.exec(t, "UPDATE provider_account SET tenant_probe_time = now()")
			s.next(t, other)
			s.reply(t, other, nil) // The last that the credits suffice for.
			s.paused(t, false)
			for range 4 {
				s.next(t, id)
				s.reply(t, id, blockedBy(provider.PauseCredits))
				s.paused(t, true)
				s.pass(t)
			}
			if got := s.states(t, []task.ID{id}); got[0] != task.Queued {
				t.Errorf("the task is %s, want it QUEUED: no task was accepted since it was refused", got[0])
			}
		})
	}
}

// TestProbe_AFaultMovesOnToTheNextProvider gives the task another provider to go to.
func TestProbe_AFaultMovesOnToTheNextProvider(t *testing.T) {
	t.Parallel()
	s := probed{setupFleet(t, 1000, 100)}
	no := blockedBy(provider.PauseBlocked)
	poison := s.add(t, "films", "luma")
	other := s.add(t, "music")
	s.next(t, poison, other)
	s.reply(t, poison, no)
	s.reply(t, other, nil)
	other = s.add(t, "music")
	s.next(t, other) // Before the tasks that may move on do so.
	s.reply(t, other, nil)
	for range 2 {
		s.next(t, poison)
		s.reply(t, poison, no)
	}
	if got := s.strings(t, "SELECT concat_ws(' ', state, provider) FROM task WHERE id = $1", poison); got[0] != "QUEUED luma" {
		t.Errorf("the task is %s, want QUEUED luma", got[0])
	}
}

// TestProbe_AnUnknownOutcomeIsNotSentAgain has tasks that the provider may have accepted or not. They pause the
// account, another tenant's task finds out at once that it works, and none is sent a second time.
func TestProbe_AnUnknownOutcomeIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := probed{setupFleet(t, 1000, 100)}
	unknown := &provider.Error{Class: provider.Ambiguous}
	var poison []task.ID
	for range 3 {
		poison = append(poison, s.add(t, "films"))
	}
	s.next(t, poison...)
	for _, id := range poison {
		s.reply(t, id, unknown)
	}
	s.paused(t, true)
	s.add(t, "films")
	s.next(t) // It waits for the pause.
	other := s.add(t, "music")
	s.next(t, other)
	s.reply(t, other, nil)
	s.paused(t, false)
	if n := s.strings(t, "SELECT count(*)::text FROM attempt WHERE task_id = ANY ($1::uuid[])", poison); n[0] != "3" {
		t.Errorf("the tasks have %s attempts, want one each", n[0])
	}
}

// TestProbe_LeavesAnOperatorsPauseAlone holds an account that is being probed.
func TestProbe_LeavesAnOperatorsPauseAlone(t *testing.T) {
	t.Parallel()
	s := probed{setupFleet(t, 1000, 100)}
	no := blockedBy(provider.PauseBlocked)
	poison := s.add(t, "films")
	s.next(t, poison)
	s.reply(t, poison, no)
	other := s.add(t, "music")
	s.next(t, other)
	if err := s.store.Accounts.HoldAccount(t.Context(), "kie", "prices"); err != nil {
		t.Fatal(err)
	}
	s.reply(t, other, nil)
	s.add(t, "news")
	s.next(t)
	usage, err := s.store.Accounts.ProviderAccounts(t.Context(), admission.AccountLimits{"kie": {Submissions: 1000, Window: window, InFlight: 100}})
	if err != nil || len(usage) != 1 {
		t.Fatalf("ProviderAccounts = %v, %v", usage, err)
	}
	if diff := cmp.Diff([]any{true, true, "prices", admission.NoTasks}, []any{usage[0].Held, usage[0].Paused, usage[0].PauseReason, usage[0].Probers}); diff != "" {
		t.Errorf("the held account (-want +got):\n%s", diff)
	}
}
