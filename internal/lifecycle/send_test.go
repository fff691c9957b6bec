package lifecycle_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

func TestSend_DeliversAtMostOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	var delivered atomic.Int32
	all := make(chan struct{}) // Closed when every other call has returned.
	var returned atomic.Int32
	const callers = 20
	errs := atOnce(t.Context(), callers, func(ctx context.Context, _ int) error {
		err := s.Send(ctx, attempt, "", func(context.Context, task.Task) (provider.Receipt, error) {
			delivered.Add(1)
			<-all
			return provider.Receipt{TaskID: "p1"}, nil
		})
		if returned.Add(1) == callers-1 {
			close(all)
		}
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := delivered.Load(); n != 1 {
		t.Errorf("the attempt was delivered %d times, want once", n)
	}
	// The others took the attempt for one whose process died; the answer came nevertheless.
	got := s.expect(t, id, task.Running, task.AttemptRunning)
	if got.Attempt().ProviderTaskID != "p1" {
		t.Errorf("provider task id = %q, want p1", got.Attempt().ProviderTaskID)
	}
}

func TestSend_OfACanceledTaskIsNeverDelivered(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	if _, err := s.Cancel(t.Context(), "films", id); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := s.Send(t.Context(), attempt, "", func(context.Context, task.Task) (provider.Receipt, error) {
			t.Error("a canceled task was delivered")
			return provider.Receipt{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.expect(t, id, task.Canceled, task.AttemptRefused)
	}
}

func TestSend_AfterACrashWaitsForTheCallback(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	s.exec(t, "UPDATE attempt SET sent = true") // The process died before the answer was written down.
	err := s.Send(t.Context(), attempt, "", func(context.Context, task.Task) (provider.Receipt, error) {
		t.Error("the attempt was delivered again")
		return provider.Receipt{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Running, task.AttemptUnconfirmed)
	if wait := query[float64](t, s, "SELECT extract(epoch FROM next_check_time - answer_time)::float8 FROM attempt"); wait < 29*60 || wait > 30*60 {
		t.Errorf("the wait for the callback ends in %v s, want about 30 minutes", wait)
	}
	if checks := s.checks(t); len(checks) != 1 || checks[0].SubmitAge < 0 {
		t.Errorf("checks = %+v, want one of an attempt that was not submitted in the future", checks)
	}
}

// TestSend_AnAnswerThatSomebodyElseAwaitsMayStillCome runs the job of an attempt again while the first run, cut off
// from the database, waits for the answer of a provider that never calls back.
func TestSend_AnAnswerThatSomebodyElseAwaitsMayStillCome(t *testing.T) {
	t.Parallel()
	s := setupWith(t, studio{callbacks: provider.NoCallbacks})
	id, attempt := s.begin(t, plain())
	err := s.Send(t.Context(), attempt, "", func(ctx context.Context, _ task.Task) (provider.Receipt, error) {
		if err := s.Send(ctx, attempt, "", nil); err != nil {
			t.Error(err)
		}
		checks, err := s.DueChecks(ctx, "kie", cadence, 10)
		if err != nil || len(checks) > 0 {
			t.Errorf("checks %v are due (%v), and would give the attempt up", checks, err)
		}
		return provider.Receipt{TaskID: "p1"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Running, task.AttemptRunning)
}

func TestSend_OfAnUnknownAttemptFails(t *testing.T) {
	t.Parallel()
	s := setup(t)
	err := s.Send(t.Context(), task.AttemptID(newID()), "", nil)
	if !errors.Is(err, lifecycle.ErrAttemptNotFound) {
		t.Errorf("Send = %v, want ErrAttemptNotFound", err)
	}
}

func TestSend_WritesTheAnswerDownThoughItsCallerIsStopped(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	ctx, stop := context.WithCancel(t.Context())
	err := s.Send(ctx, attempt, "", func(context.Context, task.Task) (provider.Receipt, error) {
		stop()
		return provider.Receipt{TaskID: "p1"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Running, task.AttemptRunning)
}

func TestSend_WritesTheAnswerDownWhenTheDatabaseWorksAgain(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	s.exec(t, "CREATE SEQUENCE tries") // Counts what is rolled back, too.
	s.exec(t, `CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'the disk is full'; END IF;
			RETURN NEW;
		END $$`)
	s.exec(t, "CREATE TRIGGER fail_twice BEFORE INSERT ON task_event FOR EACH ROW EXECUTE FUNCTION fail_twice()")
	s.send(t, attempt, "p1", nil)
	s.expect(t, id, task.Running, task.AttemptRunning)
	if tries := query[int](t, s, "SELECT last_value FROM tries"); tries != 3 {
		t.Errorf("the answer was written in %d tries, want 3", tries)
	}
}

func TestSend_AnswerThatContradictsAProvenCallbackEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	store := &countingStore{Tasks: s.store.Tasks}
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: store, Offerings: s.store.Offerings, Inbox: s.store.Inbox, Saves: s.store.Storage, Sources: s.store.Sources, Accounts: provider.Accounts{"kie": studio{}}, Route: []string{"kie"}, Changed: func(task.ID, task.State) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	id, attempt := s.begin(t, plain())
	err = verbs.Send(t.Context(), attempt, "", func(ctx context.Context, _ task.Task) (provider.Receipt, error) {
		if err := s.callback(ctx, attempt, proven("p1", provider.Succeeded), lifecycle.Applied); err != nil {
			t.Error(err)
		}
		store.changes.Store(0)
		return provider.Receipt{TaskID: "p2"}, nil
	})
	if !errors.Is(err, task.ErrProviderTaskMismatch) {
		t.Errorf("Send = %v, want ErrProviderTaskMismatch", err)
	}
	if n := store.changes.Load(); n != 1 {
		t.Errorf("Send tried %d times to settle the answer, want once, since a repetition changes nothing", n)
	}
	s.send(t, attempt, "", nil) // The job runs again, and finds that all is settled.
	got := s.expect(t, id, task.Saving, task.AttemptSucceeded)
	if got.Attempt().ProviderTaskID != "p1" {
		t.Errorf("provider task id = %q, want the proven p1", got.Attempt().ProviderTaskID)
	}
}

// countingStore counts the changes of tasks by their attempts.
type countingStore struct {
	*postgres.Tasks
	changes atomic.Int32
}

func (c *countingStore) ChangeByAttempt(ctx context.Context, id task.AttemptID, decide lifecycle.Decide) (task.Task, error) {
	c.changes.Add(1)
	return c.Tasks.ChangeByAttempt(ctx, id, decide)
}

// What submission_rules.go says, row by row.
func TestSend_EveryAnswerEndsAsTheTableSays(t *testing.T) {
	t.Parallel()
	refusal := func(c provider.Class) error {
		return &provider.Error{Class: c, Op: "submit", Code: 500, Message: "words"}
	}
	tests := map[string]struct {
		answer  error
		attempt task.AttemptState
		task    task.State
		reason  task.Reason
		pause   string        // The reason for which the account is paused,
		atLeast time.Duration // and for how long.
		probing bool
		delayed bool // Whether the task is kept from admission for a while.
		checked bool
	}{
		"accepted":         {answer: nil, attempt: task.AttemptRunning, task: task.Running, checked: true},
		"not sent":         {answer: refusal(provider.NotSent), attempt: task.AttemptRefused, task: task.Queued, pause: "not_sent", atLeast: 2 * time.Second, probing: true, delayed: true},
		"rate limited":     {answer: refusal(provider.RateLimited), attempt: task.AttemptRefused, task: task.Queued, pause: "rate_limited", atLeast: 5 * time.Second, probing: true},
		"rejected":         {answer: refusal(provider.Rejected), attempt: task.AttemptRefused, task: task.Failed, reason: task.ProviderRejected},
		"ambiguous":        {answer: refusal(provider.Ambiguous), attempt: task.AttemptUnconfirmed, task: task.Running, checked: true},
		"not found":        {answer: refusal(provider.NotFound), attempt: task.AttemptUnconfirmed, task: task.Running, checked: true},
		"unavailable":      {answer: refusal(provider.Unavailable), attempt: task.AttemptUnconfirmed, task: task.Running, checked: true},
		"unknown class":    {answer: refusal(0), attempt: task.AttemptUnconfirmed, task: task.Running, checked: true},
		"another error":    {answer: errors.New("panic"), attempt: task.AttemptUnconfirmed, task: task.Running, checked: true},
		"generation fails": {answer: refusal(provider.GenerationFailed), attempt: task.AttemptFailed, task: task.Failed, reason: task.ProviderFailed},
		"input rejected": {
			answer:  &provider.Error{Class: provider.Rejected, Input: true},
			attempt: task.AttemptRefused, task: task.Failed, reason: task.InputRejected,
		},
		"model withdrawn": {answer: refusal(provider.ModelWithdrawn), attempt: task.AttemptRefused, task: task.Queued},
		"rate limited for a minute": {
			answer:  &provider.Error{Class: provider.RateLimited, RetryAfter: time.Minute},
			attempt: task.AttemptRefused, task: task.Queued, pause: "rate_limited", atLeast: time.Minute, probing: true,
		},
		"account blocked": {
			answer:  &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseCredits},
			attempt: task.AttemptRefused, task: task.Queued, pause: "credits", atLeast: 30 * time.Second, probing: true,
		},
		"wrapped": {
			answer:  errors.Join(errors.New("kie"), refusal(provider.RateLimited)),
			attempt: task.AttemptRefused, task: task.Queued, pause: "rate_limited", atLeast: 5 * time.Second, probing: true,
		},
	}
	for _, rule := range lifecycle.SubmissionRules() {
		covered := false
		for name, test := range tests {
			class := lifecycle.Accepted
			if test.answer != nil {
				class = provider.ClassOf(test.answer)
			}
			if class != rule.Class {
				continue
			}
			covered = true
			if test.attempt != rule.Effect.Attempt {
				t.Errorf("%s: the attempt becomes %s, and the table says %s", name, test.attempt, rule.Effect.Attempt)
			}
		}
		if !covered {
			t.Errorf("no case for class %s", rule.Class)
		}
	}
	s := setup(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			id, attempt := s.begin(t, plain())
			s.send(t, attempt, "p1", test.answer)
			got := s.expect(t, id, test.task, test.attempt)
			if (got.Failure != nil) != (test.reason != "") || got.Failure != nil && got.Failure.Reason != test.reason {
				t.Errorf("failure = %+v, want reason %q", got.Failure, test.reason)
			}
			if reason := query[string](t, s, "SELECT pause_reason FROM provider_account"); reason != test.pause {
				t.Errorf("the account is paused for %q, want %q", reason, test.pause)
			}
			// One transaction writes the answer, the pause and the delay, so that they have the same beginning.
			paused := query[float64](t, s, "SELECT coalesce(extract(epoch FROM paused_until_time - answer_time), 0)::float8 FROM provider_account, attempt")
			if want := test.atLeast.Seconds(); paused != want {
				t.Errorf("the account is paused for %v s, want %v s", paused, want)
			}
			if probing := query[bool](t, s, "SELECT pauses > 0 FROM provider_account"); probing != test.probing {
				t.Errorf("probing = %t, want %t", probing, test.probing)
			}
			if delayed := query[bool](t, s, "SELECT not_before_time > answer_time FROM task, attempt"); delayed != test.delayed {
				t.Errorf("delayed = %t, want %t", delayed, test.delayed)
			}
			if checked := query[bool](t, s, "SELECT next_check_time IS NOT NULL FROM attempt"); checked != test.checked {
				t.Errorf("checked = %t, want %t", checked, test.checked)
			}
		})
	}
}

func TestSend_GenerationFailedUsesTheAllowance(t *testing.T) {
	t.Parallel()
	s := setup(t)
	spec := plain()
	spec.MaxAttempts = 2
	id, first := s.begin(t, spec)
	failed := &provider.Error{Class: provider.GenerationFailed, Op: "submit"}
	s.send(t, first, "", failed)
	s.expect(t, id, task.Queued, task.AttemptFailed)
	s.admit(t)
	again := s.expect(t, id, task.Submitting, task.AttemptSubmitting)
	s.send(t, again.Attempt().ID, "", failed)
	s.expect(t, id, task.Failed, task.AttemptFailed)
}

func TestSend_AnswerAfterItsCallbackChangesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.begin(t, plain())
	err := s.Send(t.Context(), attempt, "", func(ctx context.Context, _ task.Task) (provider.Receipt, error) {
		if err := s.callback(ctx, attempt, proven("p1", provider.Succeeded), lifecycle.Applied); err != nil {
			t.Error(err)
		}
		return provider.Receipt{TaskID: "p1"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Saving, task.AttemptSucceeded)
}

// A callback carries a token that only the provider was given. A refusal that comes afterwards, perhaps from a proxy in
// front of it, does not show what the provider did.
func TestSend_RefusalAfterACallbackProvesNothing(t *testing.T) {
	t.Parallel()
	for _, class := range []provider.Class{provider.RateLimited, provider.Rejected, provider.AccountBlocked} {
		t.Run(class.String(), func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			id, attempt := s.begin(t, plain())
			err := s.Send(t.Context(), attempt, "", func(ctx context.Context, _ task.Task) (provider.Receipt, error) {
				if err := s.callback(ctx, attempt, unproven("p1", provider.Running), lifecycle.Confirming); err != nil {
					t.Error(err)
				}
				return provider.Receipt{}, &provider.Error{Class: class, Op: "submit"}
			})
			if err != nil {
				t.Fatal(err)
			}
			s.expect(t, id, task.Running, task.AttemptUnconfirmed)
			s.check(t, succeeded, nil)
			s.expect(t, id, task.Saving, task.AttemptSucceeded)
		})
	}
}
