package admission_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

var (
	blocked = &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseCredits}
	limited = &provider.Error{Class: provider.RateLimited}
)

// pause returns for how long the account is paused from now on, and how often in a row it was.
func (s service) pause(t *testing.T) (left time.Duration, reason string, pauses int) {
	t.Helper()
	var seconds float64
	err := s.pool.QueryRow(t.Context(), `SELECT coalesce(extract(epoch FROM paused_until_time - now()), 0)::float8, pause_reason, pauses
		FROM provider_account`).Scan(&seconds, &reason, &pauses)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second)), reason, pauses
}

// expectPause checks the account's pause, within two seconds.
func (s service) expectPause(t *testing.T, want time.Duration, wantReason string, wantPauses int) {
	t.Helper()
	left, reason, pauses := s.pause(t)
	if left > want || left < want-2*time.Second || reason != wantReason || pauses != wantPauses {
		t.Fatalf("the account is paused for %s (%q, %d in a row), want %s (%q, %d)", left, reason, pauses, want, wantReason, wantPauses)
	}
}

// pass lets the account's pause pass, and every permit of the window come back.
func (s service) pass(t *testing.T) {
	t.Helper()
	s.exec(t, "UPDATE provider_account SET paused_until_time = now()")
	s.exec(t, "UPDATE attempt SET answer_time = now() - interval '1 minute' WHERE answer_time IS NOT NULL")
}

func TestAdmit_BlockedAccountIsProbedUntilItWorks(t *testing.T) {
	t.Parallel()
	s := setup(t, 10, 100)
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
	s := setup(t, 10, 100)
	s.submit(t, 10, 0)
	s.expect(t, 10)
	s.answer(t, blocked)
	s.expectPause(t, 30*time.Second, "credits", 1)
}

func TestAdmit_RateLimitPausesAndIsProbed(t *testing.T) {
	t.Parallel()
	s := setup(t, 10, 100)
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
		"limited, then limited for long":  {[]error{limited, wait(time.Minute)}, time.Minute, "rate_limited", 1},
		"limited for long, then for less": {[]error{wait(time.Minute), limited}, time.Minute, "rate_limited", 1},
	}
	s := setup(t, 10, 100)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.exec(t, "DELETE FROM task")
			s.exec(t, "UPDATE provider_account SET pauses = 0, pause_reason = '', paused_until_time = NULL, blocked = false")
			s.submit(t, len(test.answers), 0)
			s.expect(t, len(test.answers))
			for i, id := range s.submitting(t) {
				answer := func(context.Context, task.Task) (string, error) { return "", test.answers[i] }
				if err := s.Send(t.Context(), id, answer); err != nil {
					t.Fatal(err)
				}
			}
			s.expectPause(t, test.want, test.reason, test.pauses)
		})
	}
}

func TestAdmit_UnknownOutcomeDoesNotEndProbing(t *testing.T) {
	t.Parallel()
	s := setup(t, 10, 100)
	s.submit(t, 3, 0)
	s.exec(t, "UPDATE provider_account SET pauses = 1, pause_reason = 'credits', paused_until_time = now()")
	s.expect(t, 1)
	s.answer(t, errors.New("connection lost"))
	if _, _, pauses := s.pause(t); pauses != 1 {
		t.Errorf("%d pauses in a row, want 1", pauses)
	}
	s.expect(t, 1)
}
