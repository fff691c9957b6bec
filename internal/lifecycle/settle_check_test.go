package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

var (
	running   = provider.Status{Phase: provider.Running}
	succeeded = provider.Status{Phase: provider.Succeeded, ResultURLs: []string{"https://example.com/r.mp4"}}
	failed    = provider.Status{Phase: provider.Failed, Code: 501, Message: "no"}
)

// age makes every attempt older.
func (s service) age(t *testing.T, by time.Duration) {
	t.Helper()
	s.exec(t, "UPDATE attempt SET create_time = create_time - make_interval(secs => $1)", by.Seconds())
}

func TestSettleCheck_EveryAnswerHasItsMeaning(t *testing.T) {
	t.Parallel()
	unavailable := &provider.Error{Class: provider.Unavailable, Op: "check"}
	unknown := &provider.Error{Class: provider.NotFound, Op: "check"}
	tests := map[string]struct {
		status  provider.Status
		answer  error
		age     time.Duration
		task    task.State
		attempt task.AttemptState
		reason  task.Reason
	}{
		"running":               {status: running, task: task.Running, attempt: task.AttemptRunning},
		"running for a day":     {status: running, age: 25 * time.Hour, task: task.Failed, attempt: task.AttemptLost, reason: task.OutcomeUnknown},
		"succeeded":             {status: succeeded, task: task.Saving, attempt: task.AttemptSucceeded},
		"failed":                {status: failed, task: task.Failed, attempt: task.AttemptFailed, reason: task.ProviderFailed},
		"unavailable":           {answer: unavailable, task: task.Running, attempt: task.AttemptRunning},
		"unavailable for a day": {answer: unavailable, age: 25 * time.Hour, task: task.Failed, attempt: task.AttemptLost, reason: task.OutcomeUnknown},
		"unknown for now":       {answer: unknown, task: task.Running, attempt: task.AttemptRunning},
		"unknown for an hour":   {answer: unknown, age: time.Hour, task: task.Failed, attempt: task.AttemptLost, reason: task.OutcomeUnknown},
	}
	s := setup(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			id, _ := s.start(t, "p1")
			s.age(t, test.age)
			s.check(t, test.status, test.answer)
			got := s.expect(t, id, test.task, test.attempt)
			if (got.Failure != nil) != (test.reason != "") || got.Failure != nil && got.Failure.Reason != test.reason {
				t.Errorf("failure = %+v, want reason %q", got.Failure, test.reason)
			}
			open := test.attempt == task.AttemptRunning
			if checked := query[bool](t, s, "SELECT next_check_time IS NOT NULL FROM attempt"); checked != open {
				t.Errorf("checked again = %t, want %t", checked, open)
			}
		})
	}
}

func TestSettleCheck_UnconfirmedWaitsThenEndsAndALateResultIsKept(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	s.send(t, attempt, "", errors.New("connection lost"))
	s.check(t, provider.Status{}, nil)
	s.expect(t, id, task.Running, task.AttemptUnconfirmed)
	s.age(t, 30*time.Minute)
	s.check(t, provider.Status{}, nil)
	got := s.expect(t, id, task.Failed, task.AttemptLost)
	if got.Failure.Reason != task.OutcomeUnknown || got.Failure.Payment != task.PaymentUnknown {
		t.Errorf("failure = %+v, want OUTCOME_UNKNOWN with unknown payment", got.Failure)
	}
	if checks := s.checks(t); len(checks) != 0 {
		t.Errorf("%d checks are due after the end of the wait, want none", len(checks))
	}

	if err := s.callback(t.Context(), attempt, proven("p1", provider.Succeeded), lifecycle.Applied); err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Failed, task.AttemptSucceeded)
	outputs := []task.Output{{Key: "k", ContentType: "video/mp4", SizeBytes: 1, SHA256: make([]byte, 32)}}
	if _, err := s.SettleSave(t.Context(), attempt, outputs, nil); err != nil {
		t.Fatal(err)
	}
	if kept := s.expect(t, id, task.Failed, task.AttemptSucceeded); len(kept.Outputs) != 0 {
		t.Error("a FAILED task shows outputs")
	}
	retried, err := s.Retry(t.Context(), "films", id, false)
	if err != nil {
		t.Fatal(err)
	}
	if retried.State != task.Succeeded || len(retried.Outputs) != 1 || len(retried.Attempts) != 1 {
		t.Errorf("the retried task is %s with %d outputs and %d attempts, want SUCCEEDED with 1 and 1", retried.State,
			len(retried.Outputs), len(retried.Attempts))
	}
}

func TestSettleCheck_ConfirmsAHint(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status  provider.Status
		answer  error
		task    task.State
		attempt task.AttemptState
		name    string // The provider task id that is believed.
	}{
		"running":   {status: running, task: task.Running, attempt: task.AttemptRunning, name: "p1"},
		"succeeded": {status: succeeded, task: task.Saving, attempt: task.AttemptSucceeded, name: "p1"},
		"failed":    {status: failed, task: task.Failed, attempt: task.AttemptFailed, name: "p1"},
		"unknown":   {answer: &provider.Error{Class: provider.NotFound}, task: task.Running, attempt: task.AttemptUnconfirmed},
	}
	s := setup(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			id, attempt := s.begin(t, plain())
			s.send(t, attempt, "", errors.New("connection lost"))
			if err := s.callback(t.Context(), attempt, unproven("p1", provider.Succeeded), lifecycle.Confirming); err != nil {
				t.Fatal(err)
			}
			checks, err := s.DueChecks(t.Context(), "kie", cadence, 10) // The hint made it due at once.
			if err != nil || len(checks) != 1 || checks[0].ProviderTaskID != "p1" || !checks[0].Hinted {
				t.Fatalf("DueChecks = %+v, %v, want one of hinted p1", checks, err)
			}
			if err := s.SettleCheck(t.Context(), checks[0], test.status, test.answer); err != nil {
				t.Fatal(err)
			}
			if got := s.expect(t, id, test.task, test.attempt); got.Attempt().ProviderTaskID != test.name {
				t.Errorf("provider task id = %q, want %q", got.Attempt().ProviderTaskID, test.name)
			}
		})
	}
}

// Attempts take ten minutes here, as a rule, and those of one model an hour.
func TestDueChecks_ComeAgainWhenTheAttemptMayHaveEndedAndSlowlyForTerminalTasks(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for name, test := range map[string]struct {
		age    time.Duration
		cancel bool
		want   time.Duration
		remote string
	}{
		"just begun":           {age: 0, want: 45 * time.Second},
		"not long before":      {age: 6 * time.Minute, want: 30 * time.Second},
		"overdue":              {age: 15 * time.Minute, want: 30 * time.Second},
		"long overdue":         {age: 25 * time.Minute, want: 45 * time.Second},
		"canceled":             {cancel: true, want: 10 * time.Minute},
		"canceled and overdue": {age: 15 * time.Minute, cancel: true, want: 10 * time.Minute},
		"a slow model":         {age: 25 * time.Minute, remote: "slow", want: 3 * time.Minute},
		"a slow model, due":    {age: 40 * time.Minute, remote: "slow", want: 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			id, attempt := s.start(t, "p1")
			if test.cancel {
				if _, err := s.Cancel(t.Context(), "films", id); err != nil {
					t.Fatal(err)
				}
			}
			s.exec(t, "UPDATE attempt SET create_time = now() - make_interval(secs => $1), remote_model = $2", test.age.Seconds(), test.remote)
			begun := query[time.Time](t, s, "SELECT clock_timestamp()")
			checks := s.checks(t)
			if len(checks) != 1 || checks[0].Attempt != attempt || checks[0].Task != id || checks[0].ProviderTaskID != "p1" {
				t.Fatalf("checks = %+v, want one of attempt %s", checks, attempt)
			}
			if since := checks[0].SubmitAge; since < 0 || since > time.Minute {
				t.Errorf("submitted %s ago", since)
			}
			again, after := query[time.Time](t, s, "SELECT next_check_time FROM attempt"), query[time.Time](t, s, "SELECT clock_timestamp()")
			if again.Before(begun.Add(test.want*9/10)) || again.After(after.Add(test.want*11/10)) {
				t.Errorf("claimed between %v and %v and due again at %v, want %s later, a tenth more or less", begun, after, again, test.want)
			}
			now, err := s.DueChecks(t.Context(), "kie", cadence, 10)
			if err != nil || len(now) != 0 {
				t.Errorf("DueChecks right after = %v, %v, want none", now, err)
			}
		})
	}
}

func TestCadence_LearnsHowLongAttemptsTake(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for range 11 {
		_, attempt := s.start(t, newID())
		s.exec(t, "UPDATE attempt SET create_time = now() - interval '7 minutes', remote_model = 'modify/generate' WHERE id = $1", attempt)
	}
	for _, step := range []struct {
		successes int
		want      time.Duration
	}{{9, 5 * time.Minute}, {10, 7 * time.Minute}} {
		for _, c := range s.checks(t)[:step.successes-query[int](t, s, "SELECT count(*)::int FROM attempt WHERE state = 'SUCCEEDED'")] {
			if err := s.SettleCheck(t.Context(), c, provider.Status{Phase: provider.Succeeded}, nil); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Cadence(t.Context(), "kie")
		if err != nil || len(got.Models) == 0 || got.Typical != 5*time.Minute || got.Every != 30*time.Second || got.Slow != 10*time.Minute {
			t.Fatalf("Cadence after %d successes = %+v, %v, want the provider's for other models", step.successes, got, err)
		}
		i := slices.IndexFunc(got.Models, func(m lifecycle.ModelPace) bool { return m.Remote == "modify/generate" })
		if pace := got.Models[i]; pace.Typical.Round(time.Minute) != step.want || pace.Every != 30*time.Second {
			t.Errorf("pace after %d successes = %+v, want one for %s", step.successes, pace, step.want)
		}
	}
}

// The answer to a submission may come while the wait for it is being ended: it must not be given up then.
func TestSettleCheck_OfAnAttemptThatIsNamedMeanwhileChangesNothing(t *testing.T) {
	t.Parallel()
	for name, hint := range map[string]string{"nothing to ask by": "", "a hint that nobody knows": "stranger"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			id, attempt := s.begin(t, plain())
			s.exec(t, "UPDATE attempt SET create_time = now() - interval '2 hours'")
			err := s.Send(t.Context(), attempt, "", func(ctx context.Context, _ task.Task) (provider.Receipt, error) {
				if err := s.Send(ctx, attempt, "", nil); err != nil { // Its job runs twice.
					t.Error(err)
				}
				if hint != "" {
					if err := s.callback(ctx, attempt, unproven(hint, provider.Running), lifecycle.Confirming); err != nil {
						t.Error(err)
					}
				}
				return provider.Receipt{TaskID: "p1"}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			stale := lifecycle.Check{Attempt: attempt, Task: id, Account: "kie", ProviderTaskID: hint, Hinted: true, Age: 2 * time.Hour}
			if err := s.SettleCheck(t.Context(), stale, provider.Status{}, &provider.Error{Class: provider.NotFound, Op: "check"}); err != nil {
				t.Error(err)
			}
			s.expect(t, id, task.Running, task.AttemptRunning)
		})
	}
}
