package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

var (
	blocked = &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseCredits}
	limited = &provider.Error{Class: provider.RateLimited}
)

// expectPause checks for how long the newest answers paused the account, and how often in a row it was paused.
func (s fleet) expectPause(t *testing.T, want time.Duration, wantReason string, wantPauses int) {
	t.Helper()
	var until *time.Time
	var now time.Time
	var reason string
	var pauses int
	err := s.pool.QueryRow(t.Context(), "SELECT paused_until_time, clock_timestamp(), pause_reason, pauses FROM provider_account").Scan(&until, &now, &reason, &pauses)
	if err != nil {
		t.Fatal(err)
	}
	if reason != wantReason || pauses != wantPauses || (until != nil) != (want > 0) {
		t.Fatalf("the account is paused until %v (%q, %d in a row), want %s (%q, %d)", until, reason, pauses, want, wantReason, wantPauses)
	}
	if until == nil {
		return
	}
	begun := until.Add(-want - s.pause.extended)
	if begun.Before(s.pause.answered) || begun.After(now) {
		t.Fatalf("a pause of %s would have begun at %v, want a moment between the answers at %v and now, %v", want, begun, s.pause.answered, now)
	}
}

// pass lets the account's pause pass, and every permit of the window come back.
func (s fleet) pass(t *testing.T) {
	t.Helper()
	s.pause.extended = 0
	s.exec(t, "UPDATE provider_account SET paused_until_time = now()")
	s.leaveWindow(t)
}

// leaveWindow lets every permit of the window come back.
func (s fleet) leaveWindow(t *testing.T) {
	t.Helper()
	s.exec(t, "UPDATE attempt SET answer_time = now() - 2 * $1::float8 * interval '1 s' WHERE answer_time IS NOT NULL", window.Seconds())
}

func TestAdmit_BlockedAccountIsProbedUntilItWorks(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 100)
	s.submit(t, 10, 0)
	s.exec(t, "UPDATE task SET not_before_time = now() + interval '1 hour' WHERE id <> (SELECT id FROM task LIMIT 1)")
	s.expect(t, 1)
	s.answer(t, blocked)
	s.exec(t, "UPDATE task SET not_before_time = now()")
	for i, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute} {
		s.expectPause(t, want, "credits", i+1)
		s.expect(t, 0)
		s.pass(t)
		s.expect(t, 1) // One at a time probes.
		s.answer(t, blocked)
	}
	s.exec(t, "UPDATE provider_account SET pauses = 40")
	s.pass(t)
	s.expect(t, 1)
	s.answer(t, blocked)
	s.expectPause(t, time.Hour, "credits", 41)
	s.pass(t)
	s.expect(t, 1)
	s.answer(t, nil)
	s.expectPause(t, 0, "", 0)
	s.pass(t)
	s.expect(t, 9)
}

func TestAdmit_OneTroubleIsOnePause(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 100)
	s.submit(t, 10, 0)
	s.expect(t, 10)
	s.answer(t, blocked)
	s.expectPause(t, 30*time.Second, "credits", 1)
}

func TestAdmit_RateLimitPausesAndIsProbed(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 100)
	s.submit(t, 5, 0)
	s.expect(t, 5)
	s.answer(t, limited)
	s.expectPause(t, 5*time.Second, "rate_limited", 1)
	s.expect(t, 0)
	s.pass(t)
	s.expect(t, 1)
	s.answer(t, nil)
	s.pass(t)
	s.expect(t, 4)
}

func TestAdmit_PausesAreNeverShortened(t *testing.T) {
	t.Parallel()
	wait := func(d time.Duration) error { return &provider.Error{Class: provider.RateLimited, RetryAfter: d} }
	tests := map[string]struct {
		answers []error
		want    time.Duration
		reason  string
		pauses  int
	}{
		"blocked, then limited":           {[]error{blocked, limited}, 30 * time.Second, "credits", 1},
		"limited, then blocked":           {[]error{limited, blocked}, 30 * time.Second, "credits", 1},
		"limited for long, then blocked":  {[]error{wait(time.Minute), blocked}, time.Minute, "credits", 1},
		"blocked, then limited for long":  {[]error{blocked, wait(time.Minute)}, time.Minute, "credits", 1},
		"limited, then limited for long":  {[]error{wait(30 * time.Second), wait(time.Minute)}, time.Minute, "rate_limited", 1},
		"limited for long, then for less": {[]error{wait(time.Minute), limited}, time.Minute, "rate_limited", 1},
	}
	s := setupFleet(t, 10, 100)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.exec(t, "DELETE FROM task")
			s.exec(t, "UPDATE provider_account SET pauses = 0, pause_reason = '', paused_until_time = NULL, blocked = false, unknowns = 0")
			s.submit(t, len(test.answers), 0)
			s.expect(t, len(test.answers))
			s.noteTime(t)
			for i, id := range s.submitting(t) {
				answer := func(context.Context, task.Task) (provider.Receipt, error) { return provider.Receipt{}, test.answers[i] }
				if err := s.Send(t.Context(), id, "", answer); err != nil {
					t.Fatal(err)
				}
			}
			s.expectPause(t, test.want, test.reason, test.pauses)
		})
	}
}

// An unknown outcome says nothing about credits, but it says that the account does not work.
func TestAdmit_UnknownOutcomeOfAProbePausesAgain(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 100)
	s.submit(t, 3, 0)
	s.exec(t, "UPDATE provider_account SET pauses = 1, pause_reason = 'credits', paused_until_time = now()")
	s.expect(t, 1)
	s.answer(t, errUnknown)
	s.expectPause(t, 10*time.Second, "unknown_outcomes", 2)
	s.expect(t, 0)
	s.pass(t)
	s.expect(t, 1)
}

var errUnknown = errors.New("connection lost")

func TestAdmit_UnknownOutcomesInARowPauseAndAreProbed(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 1, 100)
	s.submit(t, 12, 0)
	answer := func(err error) {
		t.Helper()
		s.expect(t, 1)
		s.answer(t, err)
		s.leaveWindow(t)
	}
	answer(errUnknown)
	answer(errUnknown)
	s.expectPause(t, 0, "", 0)
	answer(nil) // The row begins anew.
	answer(errUnknown)
	answer(errUnknown)
	s.expectPause(t, 0, "", 0)
	answer(errUnknown)
	for i, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second} {
		s.expectPause(t, want, "unknown_outcomes", i+1)
		s.expect(t, 0)
		s.pass(t)
		answer(errUnknown)
	}
	s.pass(t)
	answer(nil)
	s.expectPause(t, 0, "", 0)
	answer(errUnknown)
	s.expectPause(t, 0, "", 0)
}

// A replica that is stopped leaves attempts behind whose outcome is unknown; the account is well.
func TestAdmit_OurOwnEndDoesNotPause(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 100)
	s.submit(t, 10, 0)
	s.expect(t, 10)
	s.exec(t, "UPDATE attempt SET sent = true WHERE id IN (SELECT id FROM attempt LIMIT 5)") // Their process died.
	s.answer(t, fmt.Errorf("submit: %w", context.Canceled))
	s.expectPause(t, 0, "", 0)
}

// All attempts that are under way when an outage begins report it.
func TestAdmit_OneOutageIsOnePause(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 100)
	s.submit(t, 20, 0)
	s.expect(t, 10)
	s.answer(t, errUnknown)
	s.expectPause(t, 5*time.Second, "unknown_outcomes", 1)
	s.expect(t, 0)
}
