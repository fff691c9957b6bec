package lifecycle_test

import (
	"errors"
	"testing"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// inbox puts a callback about an attempt in the inbox with a verdict and reads it back.
func (s service) inbox(t *testing.T, attempt task.AttemptID, names string, verdict lifecycle.Verdict) lifecycle.Callback {
	t.Helper()
	c := lifecycle.Callback{AttemptID: attempt, Account: "kie", ProviderTaskID: names, Verdict: verdict, Body: []byte("{}")}
	if err := s.RefuseCallback(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	kept, err := s.store.Inbox.InboxCallback(t.Context(), query[callback.ID](t, s, "SELECT max(id) FROM callback"))
	if err != nil {
		t.Fatal(err)
	}
	return kept.Callback
}

func TestReplayCallback_AsksOnlyWhereThereIsSomethingToAsk(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	giveUp := func(t *testing.T, s service, status provider.Status, answer error) {
		t.Helper()
		s.exec(t, "UPDATE attempt SET create_time = now() - interval '2 days'")
		s.check(t, status, answer)
	}
	type want struct {
		outcome lifecycle.Outcome
		task    task.State
		attempt task.AttemptState
		hinted  string
	}
	tests := map[string]struct {
		providerTask string // That the submission was answered with; empty for an answer that got lost.
		then         func(*testing.T, service, task.AttemptID)
		names        string // What the callback names.
		want         want
	}{
		"running": {"p1", nil, "", want{lifecycle.InquiryConfirming, task.Running, task.AttemptRunning, ""}},
		"running, and the callback names another task": {
			"p1", nil, "p2", want{lifecycle.InquiryConfirming, task.Running, task.AttemptRunning, ""},
		},
		"unconfirmed, and the callback names its task": {
			"", nil, "p1", want{lifecycle.InquiryConfirming, task.Running, task.AttemptUnconfirmed, "p1"},
		},
		"unconfirmed, and without a provider task id": {
			"", nil, "", want{lifecycle.InquiryNoProviderTaskID, task.Running, task.AttemptUnconfirmed, ""},
		},
		"given up": {
			"p1", func(t *testing.T, s service, _ task.AttemptID) {
				t.Helper()
				giveUp(t, s, provider.Status{}, &provider.Error{Class: provider.NotFound})
			}, "", want{lifecycle.InquiryConfirming, task.Failed, task.AttemptRunning, ""},
		},
		"given up, and the callback names its task": {
			"", func(t *testing.T, s service, _ task.AttemptID) {
				t.Helper()
				giveUp(t, s, provider.Status{}, nil)
			}, "p1", want{lifecycle.InquiryConfirming, task.Failed, task.AttemptUnconfirmed, "p1"},
		},
		"given up, and without a provider task id": {
			"", func(t *testing.T, s service, _ task.AttemptID) {
				t.Helper()
				giveUp(t, s, provider.Status{}, nil)
			}, "", want{lifecycle.InquiryNoProviderTaskID, task.Failed, task.AttemptLost, ""},
		},
		"failed": {
			"p1", func(t *testing.T, s service, _ task.AttemptID) {
				t.Helper()
				s.check(t, provider.Status{Phase: provider.Failed}, nil)
			}, "", want{lifecycle.InquirySettled, task.Failed, task.AttemptFailed, ""},
		},
		"of an account that is gone": {
			"p1", func(t *testing.T, s service, _ task.AttemptID) {
				t.Helper()
				s.exec(t, "UPDATE attempt SET account = 'kie-gone'")
			}, "", want{lifecycle.InquiryAccountNotConfigured, task.Running, task.AttemptRunning, ""},
		},
	}
	s := setup(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			id, attempt := s.begin(t, plain())
			if test.providerTask == "" {
				s.send(t, attempt, "", lost)
			} else {
				s.send(t, attempt, test.providerTask, nil)
			}
			if test.then != nil {
				test.then(t, s, attempt)
			}
			due := query[bool](t, s, "SELECT coalesce(next_check_time <= now(), false) FROM attempt")
			q, err := s.ReplayCallback(t.Context(), s.inbox(t, attempt, test.names, lifecycle.Confirming))
			if err != nil {
				t.Fatal(err)
			}
			after := s.task(t, id)
			got := want{q.Outcome, after.State, after.Attempt().State, after.Attempt().HintedTaskID}
			if got != test.want {
				t.Errorf("replay = %+v, want %+v", got, test.want)
			}
			if q.Task.ID != id || q.Task.State != after.State || q.Attempt.State != after.Attempt().State || q.Message == "" {
				t.Errorf("the inquiry is about %+v, want %+v", q, after)
			}
			asked := query[bool](t, s, "SELECT coalesce(next_check_time <= now(), false) AND asked FROM attempt")
			if due || asked != (test.want.outcome == lifecycle.InquiryConfirming) {
				t.Errorf("the provider is to be asked: %t before and %t after", due, asked)
			}
		})
	}
}

// A result that is found for a task which failed meanwhile is kept for a retry, and does not change the task.
func TestReplayCallback_BringsALostResultHomeForARetry(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	s.send(t, attempt, "", errors.New("connection lost"))
	s.exec(t, "UPDATE attempt SET create_time = now() - interval '2 hours'")
	s.check(t, provider.Status{}, nil)
	s.expect(t, id, task.Failed, task.AttemptLost)
	if _, err := s.ReplayCallback(t.Context(), s.inbox(t, attempt, "p1", lifecycle.Confirming)); err != nil {
		t.Fatal(err)
	}
	s.check(t, provider.Status{Phase: provider.Succeeded}, nil)
	s.expect(t, id, task.Failed, task.AttemptSucceeded)
	retried, err := s.Retry(t.Context(), "films", id, false)
	if err != nil || retried.State != task.Saving || len(retried.Attempts) != 1 {
		t.Errorf("Retry = %s after %d attempts, %v, want SAVING after 1", retried.State, len(retried.Attempts), err)
	}
}

func TestCheckTask_AsksAboutTheNewestAttemptWithoutAVerdict(t *testing.T) {
	t.Parallel()
	s := setup(t)
	queued := s.submit(t, plain())
	q, err := s.CheckTask(t.Context(), queued.ID)
	if err != nil || q.Outcome != lifecycle.InquiryNoProviderTaskID || q.Attempt != nil {
		t.Errorf("CheckTask of a queued task = %+v, %v, want NO_PROVIDER_TASK_ID and no attempt", q, err)
	}
	s.clear(t)
	id, attempt := s.start(t, "p1")
	if q, err = s.CheckTask(t.Context(), id); err != nil || q.Outcome != lifecycle.InquiryConfirming || q.Attempt.ID != attempt {
		t.Fatalf("CheckTask = %+v, %v, want ASKED about attempt %s", q, err, attempt)
	}
	for i, want := range []bool{true, false} { // The second is a regular one again.
		checks := s.checks(t)
		if len(checks) != 1 || checks[0].Asked != want {
			t.Errorf("check %d is %+v, want asked: %t", i+1, checks, want)
		}
	}
	var te *lifecycle.TaskError
	if _, err := s.CheckTask(t.Context(), task.ID(newID())); !errors.Is(err, lifecycle.ErrTaskNotFound) || !errors.As(err, &te) {
		t.Errorf("CheckTask of an unknown task = %v, want a TaskError with ErrTaskNotFound", err)
	}
}

// A callback that was refused has not proved that the provider task is the attempt's: by the word of an operator it
// must not become so.
func TestReplayCallback_BelievesARefusedOneNoMoreThanWhenItCame(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, verdict := range []lifecycle.Verdict{lifecycle.BadSignature, lifecycle.Stale, lifecycle.Malformed, lifecycle.Mismatch, lifecycle.Conflict} {
		t.Run(string(verdict), func(t *testing.T) {
			s.clear(t)
			id, attempt := s.begin(t, plain())
			s.send(t, attempt, "", errors.New("connection lost"))
			q, err := s.ReplayCallback(t.Context(), s.inbox(t, attempt, "foreign", verdict))
			if err != nil || q.Outcome != lifecycle.InquiryNoProviderTaskID {
				t.Errorf("ReplayCallback = %+v, %v, want NO_PROVIDER_TASK_ID", q, err)
			}
			if after := s.task(t, id); after.Attempt().HintedTaskID != "" {
				t.Errorf("the attempt took %q for its provider task", after.Attempt().HintedTaskID)
			}
		})
	}
}
