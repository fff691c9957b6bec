package lifecycle_test

import (
	"context"
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

func TestRefuse_CostsNothing(t *testing.T) {
	t.Parallel()
	unfit := &source.UnfitError{Reason: task.InputTooLong, Message: "the source has 14.2 s; provider kie takes at most 10 s"}
	for name, tc := range map[string]struct {
		cause  error
		state  task.State
		reason task.Reason
		paused int // How many accounts pause.
	}{
		"unfit":                 {unfit, task.Failed, task.InputTooLong, 0},
		"file refused":          {&provider.Error{Class: provider.Rejected, Input: true}, task.Failed, task.InputRejected, 0},
		"uploads out of reach":  {&provider.Error{Class: provider.Unavailable}, task.Queued, "", 0},
		"uploads, odd answer":   {&provider.Error{Class: provider.Ambiguous}, task.Queued, "", 0},
		"too many uploads":      {&provider.Error{Class: provider.RateLimited}, task.Queued, "", 1},
		"credentials are wrong": {&provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseCredentials}, task.Queued, "", 1},
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
			if n := query[int](t, s, "SELECT count(*) FROM provider_account WHERE paused_until_time > now()"); n != tc.paused {
				t.Errorf("%d accounts pause, want %d", n, tc.paused)
			}
			if tc.state == task.Queued && query[bool](t, s, "SELECT not_before_time IS NULL OR not_before_time <= now() FROM task") && tc.paused == 0 {
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
	err := s.Send(t.Context(), attempt, func(ctx context.Context, _ task.Task) (string, error) {
		if err := s.Refuse(ctx, attempt, &source.UnfitError{Reason: task.InputUnreachable}); err != nil {
			t.Error(err)
		}
		return "p1", nil
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
