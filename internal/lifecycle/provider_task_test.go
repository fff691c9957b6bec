package lifecycle_test

import (
	"errors"
	"testing"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

var errLost = errors.New("connection lost")

// An input that gives an attempt the provider task of another one is not believed, from a provider, a proxy or a stranger:
// the task would get another's video, and the attempt's own result would be taken for a contradiction.
func TestProviderTask_OfAnotherAttemptIsNotBelieved(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		claim func(*testing.T, service, task.AttemptID)
	}{
		"the answer to a submission": {func(t *testing.T, s service, attempt task.AttemptID) {
			t.Helper()
			s.send(t, attempt, "p1", nil)
		}},
		"a proven callback": {func(t *testing.T, s service, attempt task.AttemptID) {
			t.Helper()
			s.send(t, attempt, "", errLost)
			if err := s.callback(t.Context(), attempt, proven("p1", provider.Succeeded), lifecycle.Mismatch); err != nil {
				t.Error(err)
			}
			if err := s.callback(t.Context(), attempt, proven("p1", provider.Failed), lifecycle.Mismatch); err != nil {
				t.Error(err)
			}
		}},
		"a hint that the provider confirms": {func(t *testing.T, s service, attempt task.AttemptID) {
			t.Helper()
			s.send(t, attempt, "", errLost)
			if err := s.callback(t.Context(), attempt, unproven("p1", provider.Succeeded), lifecycle.Confirming); err != nil {
				t.Error(err)
			}
			for _, phase := range []provider.Phase{provider.Running, provider.Failed, provider.Succeeded} {
				for _, c := range s.checks(t) {
					if c.Attempt != attempt {
						continue
					}
					if err := s.SettleCheck(t.Context(), c, provider.Status{Phase: phase}, nil); err != nil {
						t.Error(err)
					}
				}
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			first, _ := s.start(t, "p1")
			id, attempt := s.begin(t, plain())
			test.claim(t, s, attempt)
			if got := s.expect(t, id, task.Running, task.AttemptUnconfirmed); got.Attempt().ProviderTaskID != "" {
				t.Errorf("the attempt took provider task %q", got.Attempt().ProviderTaskID)
			}
			s.expect(t, first, task.Running, task.AttemptRunning)
			// Its own callback is believed.
			if err := s.callback(t.Context(), attempt, proven("p2", provider.Succeeded), lifecycle.Applied); err != nil {
				t.Error(err)
			}
			s.expect(t, id, task.Saving, task.AttemptSucceeded)
		})
	}
}

// A hint that names another's task must not keep the wait for the callback from ending.
func TestProviderTask_OfAnotherAttemptDoesNotProlongTheWait(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.start(t, "p1")
	id, attempt := s.begin(t, plain())
	s.send(t, attempt, "", errLost)
	if err := s.callback(t.Context(), attempt, unproven("p1", provider.Running), lifecycle.Confirming); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "UPDATE attempt SET create_time = now() - interval '31 minutes' WHERE id = $1", attempt)
	for _, c := range s.checks(t) {
		if err := s.SettleCheck(t.Context(), c, provider.Status{Phase: provider.Running}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.expect(t, id, task.Failed, task.AttemptLost); got.Failure.Reason != task.OutcomeUnknown {
		t.Errorf("failed with %s, want OUTCOME_UNKNOWN", got.Failure.Reason)
	}
}
