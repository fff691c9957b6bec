package lifecycle_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// TestWaiting_NamesTheCause makes three tasks of one tenant and looks at the last.
func TestWaiting_NamesTheCause(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, tc := range []struct {
		name    string
		world   string // What the database says of the world.
		want    task.WaitCause
		message string
		until   time.Duration // How long it lasts, roughly.
	}{
		{"nothing", "", task.WaitAdmission, "next round", 0},
		{"few permits", "UPDATE provider_account SET max_submissions = 2, rate_window = interval '1 hour'", task.WaitTenantShare, "2 tasks of the tenant go first", 0},
		{"in flight", "UPDATE provider_account SET max_in_flight = 1", task.WaitInFlightCap, "in flight", 0},
		{"rate window", "UPDATE provider_account SET max_submissions = 1, rate_window = interval '1 hour'", task.WaitRateWindow, "window", 0},
		{"held", "UPDATE provider_account SET hold_reason = 'invoice unpaid'", task.WaitProviderPaused, "account kie is paused: invoice unpaid", 0},
		{"paused", "UPDATE provider_account SET pauses = 1, pause_reason = 'credits', paused_until_time = now() + interval '1 hour'", task.WaitProviderPaused, "account kie is paused: credits", time.Hour},
		{"probed", "UPDATE provider_account SET pauses = 1, pause_reason = 'credits', paused_until_time = now(); UPDATE attempt SET answer_time = NULL, state = 'SUBMITTING'", task.WaitProviderPaused, "probed", 0},
		{"delayed", "UPDATE task SET not_before_time = now() + interval '1 hour' WHERE state = 'QUEUED'", task.WaitDelay, "did not reach", time.Hour},
		{"storage", "INSERT INTO storage_probe (replica, cause) VALUES ('r1', 'is full'); UPDATE provider_account SET pauses = 1, paused_until_time = now() + interval '1 hour'", task.WaitStorage, "the storage is full; nothing is sent to kie", 0},
		{"the tenant's quota", "INSERT INTO tenant (tenant, max_in_flight) VALUES ('films', 1)", task.WaitTenantShare, "1 open attempts, and its limit is 1", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.clear(t)
			s.start(t, newID())
			s.submit(t, plain())
			s.submit(t, plain())
			last := s.submit(t, plain())
			if tc.world != "" {
				s.exec(t, tc.world)
			}
			w, err := s.Waiting(t.Context(), last)
			if err != nil {
				t.Fatal(err)
			}
			if w.Cause != tc.want || w.Place != 3 || !strings.Contains(w.Message, tc.message) {
				t.Errorf("Waiting = %+v, want %s at place 3 with %q", w, tc.want, tc.message)
			}
			if left := time.Until(w.Until); tc.until == 0 != w.Until.IsZero() || tc.until > 0 && (left > tc.until || left < tc.until-30*time.Minute) {
				t.Errorf("Waiting until %s, want in %s", w.Until, tc.until)
			}
		})
	}
}

func TestWaiting_TellsAnUnconfirmedOutcomeAndNothingElseOfRunningTasks(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	if w, err := s.Waiting(t.Context(), s.task(t, id)); w != nil || err != nil {
		t.Errorf("Waiting of a task that is being submitted = %+v, %v, want nothing", w, err)
	}
	s.send(t, attempt, "", errors.New("connection lost"))
	if w, err := s.Waiting(t.Context(), s.task(t, id)); err != nil || w == nil || w.Cause != task.WaitConfirmation || w.Place != 0 {
		t.Errorf("Waiting of an unconfirmed attempt = %+v, %v, want UNCONFIRMED_OUTCOME without a place", w, err)
	}
	id, _ = s.start(t, "p1")
	if w, err := s.Waiting(t.Context(), s.task(t, id)); w != nil || err != nil {
		t.Errorf("Waiting of a running task = %+v, %v, want nothing", w, err)
	}
}

func TestWaiting_NamesWhatASaveWaitsFor(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.start(t, "p1")
	s.check(t, provider.Status{Phase: provider.Succeeded}, nil)
	if w, err := s.Waiting(t.Context(), s.task(t, id)); w != nil || err != nil {
		t.Errorf("Waiting of a save that is under way = %+v, %v, want nothing", w, err)
	}
	for _, cause := range []task.WaitCause{task.WaitDownload, task.WaitLinks, task.WaitAnswer, task.WaitStorage} {
		if _, err := s.store.Storage.NoteSaveTrouble(t.Context(), attempt, time.Now().Add(-time.Hour), task.SaveTry{
			Cause: cause, Message: "it said " + string(cause), RetryAfter: time.Minute,
		}); err != nil {
			t.Fatal(err)
		}
		w, err := s.Waiting(t.Context(), s.task(t, id))
		if err != nil || w == nil || w.Cause != cause || w.Message != "it said "+string(cause)+"; it is tried again" || w.Place != 0 || time.Until(w.Until) > time.Minute {
			t.Errorf("Waiting = %+v, %v, want %s", w, err, cause)
		}
	}
	s.exec(t, "INSERT INTO storage_probe (replica, cause) VALUES ('r1', 'is read-only')")
	if w, err := s.Waiting(t.Context(), s.task(t, id)); err != nil || w == nil || w.Cause != task.WaitStorage || !strings.Contains(w.Message, "the storage is read-only") {
		t.Errorf("Waiting = %+v, %v, want the storage", w, err)
	}
	s.exec(t, "UPDATE task SET update_time = now() + interval '1 hour'")
	s.exec(t, "DELETE FROM storage_probe")
	if w, err := s.Waiting(t.Context(), s.task(t, id)); w != nil || err != nil {
		t.Errorf("Waiting = %+v, %v, want nothing of an earlier save", w, err)
	}
}
