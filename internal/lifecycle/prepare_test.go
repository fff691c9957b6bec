package lifecycle_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// held makes a task and gives its attempt back, and returns it with its preparation.
func (s service) held(t *testing.T, spec task.Spec) (source.Waiter, source.PreparationID) {
	t.Helper()
	id, attempt := s.begin(t, spec)
	if err := s.Defer(t.Context(), attempt); err != nil {
		t.Fatal(err)
	}
	got := s.expect(t, id, task.Queued, task.AttemptRefused)
	return source.Waiter{Task: id, Revision: got.Revision}, query[source.PreparationID](t, s, "SELECT preparation_id FROM preparation_task WHERE task_id = $1", id)
}

// TestDefer_HoldsNothing fails when countUsage counts attempts that were never sent, or when admission takes tasks that are
// held.
func TestDefer_HoldsNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	w, _ := s.held(t, plain())
	free := func() admission.Usage {
		accounts, err := s.store.Accounts.ProviderAccounts(t.Context(), admission.AccountLimits{"kie": studio{}.Capabilities().Limits})
		if err != nil || len(accounts) != 1 {
			t.Fatalf("accounts %v, %v", accounts, err)
		}
		return accounts[0].Usage
	}
	if u := free(); u.Recent != 0 || u.Unanswered != 0 || u.InFlight != 0 {
		t.Errorf("%d permits of the window and %d in flight are taken, want none", u.Recent+u.Unanswered, u.InFlight)
	}
	if query[bool](t, s, "SELECT sent FROM attempt") {
		t.Error("the attempt counts as sent")
	}
	s.admit(t)
	s.expect(t, w.Task, task.Queued, task.AttemptRefused)
	other := s.submit(t, plain())
	if waits, err := s.Waiting(t.Context(), other); err != nil || waits.Place != 1 || waits.Cause != task.WaitAdmission {
		t.Errorf("the tenant's next task waits for %+v, %v, want its admission at place 1", waits, err)
	}
	waits, err := s.Waiting(t.Context(), s.task(t, w.Task))
	if err != nil || waits.Cause != task.WaitSource || !waits.Until.IsZero() || !strings.Contains(waits.Message, "being checked") {
		t.Errorf("it waits for %+v, %v, want its source", waits, err)
	}
	s.exec(t, "UPDATE preparation SET message = 'status 503', due_time = now() + interval '1 minute'")
	waits, err = s.Waiting(t.Context(), s.task(t, w.Task))
	if err != nil || waits.Cause != task.WaitSource || waits.Until.IsZero() || waits.Message != "status 503; it is tried again" {
		t.Errorf("it waits for %+v, %v, want another try", waits, err)
	}
}

func TestPrepared_LetsAdmissionHaveTheTask(t *testing.T) {
	t.Parallel()
	s := setup(t)
	one, id := s.held(t, plain())
	two, same := s.held(t, plain())
	if id != same {
		t.Errorf("tasks of one source wait for preparations %d and %d", id, same)
	}
	waiters, joined, err := s.store.Preparations.PreparationWaiters(t.Context(), id, 10)
	if err != nil || len(waiters) != 2 || joined != 2 {
		t.Fatalf("waiters %v of %d joins, %v", waiters, joined, err)
	}
	if err := s.Prepared(t.Context(), waiters); err != nil {
		t.Fatal(err)
	}
	if left, _, err := s.store.Preparations.PreparationWaiters(t.Context(), id, 10); err != nil || len(left) != 0 {
		t.Errorf("%v wait still, %v", left, err)
	}
	if ended, err := s.store.Preparations.EndPreparation(t.Context(), id, joined-1); err != nil || ended {
		t.Errorf("it ended, %v, though a task joined", err)
	}
	if ended, err := s.store.Preparations.EndPreparation(t.Context(), id, joined); err != nil || !ended {
		t.Errorf("it did not end: %v", err)
	}
	s.admit(t)
	for _, w := range []source.Waiter{one, two} {
		s.expect(t, w.Task, task.Submitting, task.AttemptSubmitting)
	}
}

// A task that changed does not wait any more, and the outcome of its preparation does not change it.
func TestDefer_EndsWithWhateverChangesTheTask(t *testing.T) {
	t.Parallel()
	s := setup(t)
	w, id := s.held(t, plain())
	if _, err := s.Cancel(t.Context(), "films", w.Task); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retry(t.Context(), "films", w.Task, false); err != nil {
		t.Fatal(err)
	}
	if waiters, _, err := s.store.Preparations.PreparationWaiters(t.Context(), id, 10); err != nil || len(waiters) != 0 {
		t.Errorf("%v wait, %v, want none", waiters, err)
	}
	if err := s.Unprepared(t.Context(), w, &source.UnfitError{Reason: task.InputUnreachable}); err != nil {
		t.Error(err)
	}
	if err := s.Prepared(t.Context(), []source.Waiter{w}); err != nil {
		t.Error(err)
	}
	s.admit(t)
	s.expect(t, w.Task, task.Submitting, task.AttemptSubmitting)
}

func TestUnprepared_SettlesTheTaskForNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cause  error
		reason task.Reason
	}{
		"unreachable":   {&source.UnfitError{Reason: task.InputUnreachable, Message: "status 404", Everywhere: true}, task.InputUnreachable},
		"file refused":  {&provider.Error{Class: provider.Rejected, Input: true}, task.InputRejected},
		"other refusal": {&provider.Error{Class: provider.Rejected}, task.ProviderRejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			w, _ := s.held(t, plain())
			for range 2 {
				if err := s.Unprepared(t.Context(), w, tc.cause); err != nil {
					t.Fatal(err)
				}
			}
			got := s.expect(t, w.Task, task.Failed, task.AttemptRefused)
			if got.Failure.Reason != tc.reason || got.Failure.Payment != task.PaymentNone || got.Revision != w.Revision+1 {
				t.Errorf("failed at revision %d with %+v, want %s for nothing", got.Revision, got.Failure, tc.reason)
			}
		})
	}
	s := setup(t)
	w, _ := s.held(t, plain())
	if err := s.Unprepared(t.Context(), w, &provider.Error{Class: provider.RateLimited}); err == nil {
		t.Error("a provider that asks to wait settles a task")
	}
}

func TestBlock_PausesTheAccountAndLeavesTheTask(t *testing.T) {
	t.Parallel()
	s := setup(t)
	w, _ := s.held(t, plain())
	if err := s.Block(t.Context(), w, "kie", &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseCredentials}); err != nil {
		t.Fatal(err)
	}
	if reason := query[string](t, s, "SELECT pause_reason FROM provider_account WHERE paused_until_time > now() AND blocked"); reason != "credentials" {
		t.Errorf("the account pauses for %q", reason)
	}
	if got := s.expect(t, w.Task, task.Queued, task.AttemptRefused); got.Revision != w.Revision {
		t.Error("the task changed")
	}
}

func TestDefer_LeavesASentAttemptAlone(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	err := s.Send(t.Context(), attempt, "", func(ctx context.Context, _ task.Task) (provider.Receipt, error) {
		if err := s.Defer(ctx, attempt); !errors.Is(err, task.ErrAlreadySent) {
			t.Errorf("Defer = %v, want that it is sent", err)
		}
		return provider.Receipt{TaskID: "p1"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Running, task.AttemptRunning)
}
