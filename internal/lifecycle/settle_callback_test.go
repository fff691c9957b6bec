package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

func proven(id string, phase provider.Phase) provider.Callback {
	return provider.Callback{ProviderTaskID: id, Proof: provider.ProofID, Status: provider.Status{Phase: phase}}
}

func unproven(id string, phase provider.Phase) provider.Callback {
	return provider.Callback{ProviderTaskID: id, Status: provider.Status{Phase: phase}}
}

// callback settles a callback and checks its verdict.
func (s service) callback(ctx context.Context, id task.AttemptID, said provider.Callback, want lifecycle.Verdict) error {
	c := lifecycle.Callback{AttemptID: id, Account: "kie", ProviderTaskID: said.ProviderTaskID, Body: []byte("{}")}
	got, err := s.SettleCallback(ctx, c, said)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("verdict = %s, want %s", got, want)
	}
	return nil
}

func TestSettleCallback_VerdictInboxAndTaskAgree(t *testing.T) {
	t.Parallel()
	// Each row begins with an attempt that runs as p1, or is unconfirmed where it says so.
	type step struct {
		said provider.Callback
		want lifecycle.Verdict
	}
	cancel := func(t *testing.T, s service, id task.ID) {
		t.Helper()
		if _, err := s.Cancel(t.Context(), "films", id); err != nil {
			t.Fatal(err)
		}
	}
	expire := func(t *testing.T, s service, _ task.ID) {
		t.Helper()
		s.exec(t, "UPDATE task SET deadline_time = now()")
		if _, err := s.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		unconfirmed bool
		before      func(*testing.T, service, task.ID)
		steps       []step
		task        task.State
		attempt     task.AttemptState
		saves       int
		asked       bool // Whether the provider is to be asked now.
	}{
		"proven result": {
			steps: []step{{proven("p1", provider.Succeeded), lifecycle.Applied}},
			task:  task.Saving, attempt: task.AttemptSucceeded, saves: 1,
		},
		"unproven result": {
			steps: []step{{unproven("p1", provider.Succeeded), lifecycle.Confirming}},
			task:  task.Running, attempt: task.AttemptRunning, asked: true,
		},
		"proven failure": {
			steps: []step{{proven("p1", provider.Failed), lifecycle.Confirming}},
			task:  task.Running, attempt: task.AttemptRunning, asked: true,
		},
		"duplicate": {
			steps: []step{{proven("p1", provider.Succeeded), lifecycle.Applied}, {proven("p1", provider.Succeeded), lifecycle.Duplicate}},
			task:  task.Saving, attempt: task.AttemptSucceeded, saves: 1,
		},
		"conflict": {
			steps: []step{{proven("p1", provider.Succeeded), lifecycle.Applied}, {proven("p1", provider.Failed), lifecycle.Conflict}},
			task:  task.Saving, attempt: task.AttemptSucceeded, saves: 1,
		},
		"mismatch": {
			steps: []step{{proven("p2", provider.Succeeded), lifecycle.Mismatch}, {unproven("p2", provider.Failed), lifecycle.Mismatch}},
			task:  task.Running, attempt: task.AttemptRunning,
		},
		"proven result of an unconfirmed attempt": {
			unconfirmed: true, steps: []step{{proven("p1", provider.Succeeded), lifecycle.Applied}},
			task: task.Saving, attempt: task.AttemptSucceeded, saves: 1,
		},
		"unproven result of an unconfirmed attempt": {
			unconfirmed: true, steps: []step{{unproven("p1", provider.Succeeded), lifecycle.Confirming}},
			task: task.Running, attempt: task.AttemptUnconfirmed, asked: true,
		},
		"after the deadline": {
			before: expire, steps: []step{{proven("p1", provider.Succeeded), lifecycle.Applied}},
			task: task.Failed, attempt: task.AttemptSucceeded, saves: 1,
		},
		"after a cancel": {
			before: cancel, steps: []step{{proven("p1", provider.Succeeded), lifecycle.Applied}},
			task: task.Canceled, attempt: task.AttemptSucceeded, saves: 1,
		},
	}
	s := setup(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			id, attempt := s.begin(t, plain())
			if test.unconfirmed {
				s.send(t, attempt, "", errors.New("connection lost"))
			} else {
				s.send(t, attempt, "p1", nil)
			}
			if test.before != nil {
				test.before(t, s, id)
			}
			for i, st := range test.steps {
				if err := s.callback(t.Context(), attempt, st.said, st.want); err != nil {
					t.Fatal(err)
				}
				inbox := query[string](t, s, "SELECT verdict || ' ' || provider_task_id FROM callback ORDER BY id DESC LIMIT 1")
				if want := fmt.Sprintf("%s %s", st.want, st.said.ProviderTaskID); inbox != want {
					t.Errorf("the inbox holds %q, want %q", inbox, want)
				}
				if n := query[int](t, s, "SELECT count(*) FROM callback"); n != i+1 {
					t.Errorf("%d callbacks are kept, want %d", n, i+1)
				}
			}
			s.expect(t, id, test.task, test.attempt)
			if n := query[int](t, s, "SELECT count(*) FROM river_job WHERE kind = 'save_outputs'"); n != test.saves {
				t.Errorf("%d save jobs, want %d", n, test.saves)
			}
			if asked := query[bool](t, s, "SELECT coalesce(next_check_time <= now(), false) FROM attempt"); asked != test.asked {
				t.Errorf("the provider is asked now: %t, want %t", asked, test.asked)
			}
		})
	}
}

func TestSettleCallback_AppliesOneOfManyAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.start(t, "p1")
	errs := atOnce(t.Context(), 20, func(ctx context.Context, _ int) error {
		return s.callback(ctx, attempt, proven("p1", provider.Succeeded), lifecycle.Duplicate)
	})
	applied := 0
	for _, err := range errs {
		if err != nil {
			applied++
			if err.Error() != "verdict = applied, want duplicate" {
				t.Error(err)
			}
		}
	}
	if applied != 1 {
		t.Errorf("%d of 20 callbacks were applied, want 1", applied)
	}
	s.expect(t, id, task.Saving, task.AttemptSucceeded)
	if n := query[int](t, s, "SELECT count(*) FROM river_job WHERE kind = 'save_outputs'"); n != 1 {
		t.Errorf("%d save jobs, want 1", n)
	}
	if n := query[int](t, s, "SELECT count(*) FROM callback"); n != 20 {
		t.Errorf("%d callbacks are kept, want all 20", n)
	}
}

func TestSettleCallback_AboutARefusedAttemptIsAConflict(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	s.send(t, attempt, "", &provider.Error{Class: provider.RateLimited})
	if err := s.callback(t.Context(), attempt, unproven("p1", provider.Succeeded), lifecycle.Conflict); err != nil {
		t.Error(err)
	}
	s.expect(t, id, task.Queued, task.AttemptRefused)
}

func TestSettleCallback_OfAnUnknownAttemptKeepsNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	stranger := task.AttemptID(newID())
	if err := s.callback(t.Context(), stranger, proven("p1", provider.Succeeded), lifecycle.Applied); !errors.Is(err, lifecycle.ErrAttemptNotFound) {
		t.Errorf("SettleCallback = %v, want ErrAttemptNotFound", err)
	}
	err := s.RefuseCallback(t.Context(), lifecycle.Callback{AttemptID: stranger, Account: "kie", Verdict: lifecycle.Stale})
	if !errors.Is(err, lifecycle.ErrAttemptNotFound) {
		t.Errorf("RefuseCallback = %v, want ErrAttemptNotFound", err)
	}
	if n := query[int](t, s, "SELECT count(*) FROM callback"); n != 0 {
		t.Errorf("%d callbacks are kept, want none", n)
	}
}

// A signature covers the id alone, so a stranger who has seen one callback can send others with any body.
func TestSettleCallback_RowsAndBytesAreBoundedPerAttempt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const large = 250_000
	for name, test := range map[string]struct {
		size, times, rows, bytes int
	}{
		"large": {large, 8, 2, 2 * large}, // One that was asked about, and the one that was applied.
		"small": {10, 80, 33, 33 * 10},
		"empty": {0, 80, 33, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			id, attempt := s.start(t, "p1")
			send := func(said provider.Callback, want lifecycle.Verdict) {
				t.Helper()
				c := lifecycle.Callback{AttemptID: attempt, Account: "kie", ProviderTaskID: "p1", Body: bytes.Repeat([]byte("x"), test.size)}
				if got, err := s.SettleCallback(t.Context(), c, said); err != nil || got != want {
					t.Fatalf("SettleCallback = %s, %v, want %s", got, err, want)
				}
			}
			for range test.times {
				send(proven("p1", provider.Failed), lifecycle.Confirming)
			}
			send(proven("p1", provider.Succeeded), lifecycle.Applied)
			for range test.times {
				send(proven("p1", provider.Succeeded), lifecycle.Duplicate)
				send(proven("p1", provider.Failed), lifecycle.Conflict)
			}
			s.expect(t, id, task.Saving, task.AttemptSucceeded)
			rows, kept := query[int](t, s, "SELECT count(*) FROM callback"), query[int](t, s, "SELECT sum(octet_length(body)) FROM callback")
			if rows != test.rows || kept != test.bytes {
				t.Errorf("%d rows of %d bytes are kept, want %d of %d", rows, kept, test.rows, test.bytes)
			}
			if n := query[int](t, s, "SELECT count(*) FROM callback WHERE verdict = 'applied'"); n != 1 {
				t.Errorf("%d callbacks are kept as applied, want 1", n)
			}
		})
	}
}

func TestSettleCallback_BringsFewerAndFewerQuestions(t *testing.T) {
	t.Parallel()
	s := setup(t)
	rarely := lifecycle.Cadence{Pace: lifecycle.Pace{Every: 100 * time.Hour, Typical: time.Minute}, Slow: 100 * time.Hour}
	for name, act := range map[string]func(t *testing.T, id task.ID, attempt task.AttemptID){
		"a running task": func(*testing.T, task.ID, task.AttemptID) {},
		"a terminal task": func(t *testing.T, id task.ID, _ task.AttemptID) {
			t.Helper()
			if _, err := s.Cancel(t.Context(), "films", id); err != nil {
				t.Fatal(err)
			}
		},
		"a lost attempt": func(t *testing.T, _ task.ID, _ task.AttemptID) {
			t.Helper()
			s.exec(t, "UPDATE attempt SET state = 'LOST', next_check_time = NULL")
			s.exec(t, "UPDATE task SET state = 'FAILED', failure_reason = 'OUTCOME_UNKNOWN', failure_message = '', failure_payment = 'UNKNOWN'")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			id, attempt := s.start(t, "p1")
			act(t, id, attempt)
			questions := 0
			for i := range 120 { // Forty callbacks in forty seconds, and eighty more in two hours.
				passed := 1.0
				if i >= 40 {
					passed = 90
				}
				if err := s.callback(t.Context(), attempt, unproven("p1", provider.Failed), lifecycle.Confirming); err != nil {
					t.Fatal(err)
				}
				checks, err := s.DueChecks(t.Context(), "kie", rarely, 10)
				if err != nil {
					t.Fatal(err)
				}
				questions += len(checks)
				if i == 0 && len(checks) != 1 {
					t.Errorf("the first callback led to %d questions, want 1", len(checks))
				}
				s.exec(t, `UPDATE attempt SET last_check_time = last_check_time - make_interval(secs => $1),
					next_check_time = next_check_time - make_interval(secs => $1)`, passed)
			}
			if questions < 6 || questions > 18 {
				t.Errorf("callbacks led to %d questions in two hours, want about ten", questions)
			}
		})
	}
}

func TestRefuseCallback_IsBoundedPerAttempt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, attempt := s.start(t, "p1")
	for range 20 {
		err := s.RefuseCallback(t.Context(), lifecycle.Callback{
			AttemptID: attempt, Account: "kie", Verdict: lifecycle.BadSignature, Body: []byte("{}"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := query[int](t, s, "SELECT count(*) FROM callback"); n != 8 {
		t.Errorf("%d refused callbacks are kept, want 8", n)
	}
	_, second := s.start(t, "p2")
	for range 20 {
		err := s.RefuseCallback(t.Context(), lifecycle.Callback{
			AttemptID: second, Account: "kie", Verdict: lifecycle.Malformed, Body: bytes.Repeat([]byte("x"), 200_000),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := query[int](t, s, "SELECT count(*) FROM callback WHERE attempt_id = $1", second); n != 1 {
		t.Errorf("%d large callbacks are kept, want 1", n)
	}
	if err := s.callback(t.Context(), attempt, proven("p1", provider.Succeeded), lifecycle.Applied); err != nil {
		t.Errorf("a good callback after many refused ones: %v", err)
	}
}
