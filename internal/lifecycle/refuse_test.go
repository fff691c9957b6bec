package lifecycle_test

import (
	"context"
	"errors"
	"testing"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

func TestSend_LeavesAnAttemptAloneWhoseSourceIsNotReady(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	if err := s.Send(t.Context(), attempt, "", nil); !errors.Is(err, lifecycle.ErrUnprepared) {
		t.Errorf("Send = %v, want ErrUnprepared", err)
	}
	s.expect(t, id, task.Submitting, task.AttemptSubmitting)
	if query[bool](t, s, "SELECT sent FROM attempt") {
		t.Error("it counts as sent")
	}
	if _, err := s.Cancel(t.Context(), "films", id); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), attempt, "", nil); err != nil {
		t.Error(err)
	}
	s.expect(t, id, task.Canceled, task.AttemptRefused)
}

func TestRefuse_CostsNothing(t *testing.T) {
	t.Parallel()
	unfit := &source.UnfitError{Reason: task.InputTooLong, Message: "the source has 14.2 s; provider kie takes at most 10 s"}
	for name, tc := range map[string]struct {
		cause  error
		state  task.State
		reason task.Reason
	}{
		"unfit":           {unfit, task.Failed, task.InputTooLong},
		"account is gone": {&provider.Error{Class: provider.NotSent}, task.Queued, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			id, attempt := s.begin(t, plain())
			if err := s.Refuse(t.Context(), attempt, tc.cause); err != nil {
				t.Fatal(err)
			}
			got := s.expect(t, id, tc.state, task.AttemptRefused)
			if tc.reason != "" && (got.Failure == nil || got.Failure.Reason != tc.reason || got.Failure.Payment != task.PaymentNone) {
				t.Errorf("failure is %+v, want %s and no payment", got.Failure, tc.reason)
			}
			if n := query[int](t, s, "SELECT count(*) FROM provider_account WHERE paused_until_time IS NOT NULL"); n != 0 {
				t.Errorf("%d accounts pause, want none", n)
			}
			if tc.state == task.Queued && query[bool](t, s, "SELECT not_before_time IS NULL OR not_before_time <= answer_time FROM task, attempt") {
				t.Error("the task is tried again at once")
			}
			if err := s.Refuse(t.Context(), attempt, tc.cause); err != nil {
				t.Errorf("a second time: %v", err)
			}
			if again := s.task(t, id); again.Revision != got.Revision {
				t.Errorf("a second time changed the task: revision %d, then %d", got.Revision, again.Revision)
			}
		})
	}
}

// Two replicas may have the job of one attempt: what one finds out must not make an attempt unpaid that the other sent.
func TestRefuse_LeavesASentAttemptAlone(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	err := s.Send(t.Context(), attempt, "", func(ctx context.Context, _ task.Task) (provider.Receipt, error) {
		if err := s.Refuse(ctx, attempt, &source.UnfitError{Reason: task.InputUnreachable}); err != nil {
			t.Error(err)
		}
		return provider.Receipt{TaskID: "p1"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Running, task.AttemptRunning)
	if err := s.Refuse(t.Context(), attempt, &source.UnfitError{Reason: task.InputUnreachable}); err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Running, task.AttemptRunning)
}
