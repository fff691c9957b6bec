package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// submission is an attempt that was admitted, alone in its database.
type submission struct {
	service
	id      task.ID
	attempt task.AttemptID
}

// a step is a part of what happens to a submission.
type step func(*testing.T, submission)

// answered sends the attempt and gives it an answer, nil for a provider task. Before the answer other steps may happen.
func answered(answer error, meanwhile ...step) step {
	return func(t *testing.T, s submission) {
		t.Helper()
		err := s.Send(t.Context(), s.attempt, "", func(context.Context, task.Task) (provider.Receipt, error) {
			for _, happens := range meanwhile {
				happens(t, s)
			}
			return provider.Receipt{TaskID: "p1"}, answer
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// class is an answer with a code, or where that is 0 an error without an answer.
func class(c provider.Class, code int) error {
	return &provider.Error{Class: c, Op: "submit", Code: code, Err: errors.New("test")}
}

// lost is a replica that sends the attempt and is not heard of any more.
func lost(t *testing.T, s submission) {
	t.Helper()
	s.exec(t, "UPDATE attempt SET sent = true")
}

// takenOver is another replica that finds the attempt sent.
func takenOver(t *testing.T, s submission) {
	t.Helper()
	if err := s.Send(t.Context(), s.attempt, "", nil); err != nil {
		t.Fatal(err)
	}
}

func canceled(t *testing.T, s submission) {
	t.Helper()
	if _, err := s.Cancel(t.Context(), "films", s.id); err != nil {
		t.Fatal(err)
	}
}

func expired(t *testing.T, s submission) {
	t.Helper()
	if n := s.expire(t); n != 1 {
		t.Fatalf("%d tasks expired, want 1", n)
	}
}

// givenUp ends the wait for the callback.
func givenUp(t *testing.T, s submission) {
	t.Helper()
	s.exec(t, "UPDATE attempt SET create_time = create_time - interval '1 hour'")
	s.check(t, provider.Status{}, nil)
}

func checked(t *testing.T, s submission) {
	t.Helper()
	s.check(t, provider.Status{Phase: provider.Running}, nil)
}

func calledBack(said provider.Callback, want lifecycle.Verdict) step {
	return func(t *testing.T, s submission) {
		t.Helper()
		if err := s.callback(t.Context(), s.attempt, said, want); err != nil {
			t.Fatal(err)
		}
	}
}

// permits are the permits that the one attempt of a database holds.
type permits struct{ window, inFlight bool }

func (s service) permits(t *testing.T) permits {
	t.Helper()
	accounts, err := s.store.Accounts.ProviderAccounts(t.Context(), admission.AccountLimits{"kie": studio{}.Capabilities().Limits})
	if err != nil || len(accounts) != 1 {
		t.Fatalf("accounts %v, error %v", accounts, err)
	}
	u := accounts[0].Usage
	return permits{window: u.Unanswered+u.Recent > 0, inFlight: u.InFlight > 0}
}

// pass moves what the permit of the window is counted from, as time does.
func (s service) pass(t *testing.T, d time.Duration) {
	t.Helper()
	s.exec(t, "UPDATE attempt SET answer_time = answer_time - make_interval(secs => $1)", d.Seconds())
}

// TestPermits_AreHeldUntilTheRequestCanNoLongerArrive has each way out of SUBMITTING, as the table in docs/guarantees.md.
// One window after it an attempt whose request may not have arrived yet still holds its permit of the window, and
// gives it back when the request can no longer arrive.
//
// It fails when updateAttempts (internal/postgres/write_rows.go) leaves in_transit out.
func TestPermits_AreHeldUntilTheRequestCanNoLongerArrive(t *testing.T) {
	t.Parallel()
	const (
		window = 10*time.Second + time.Millisecond
		arrive = lifecycle.SendTimeout + lifecycle.AnswerTimeout
	)
	s := setup(t)
	none, inFlight, both := permits{}, permits{inFlight: true}, permits{window: true, inFlight: true}
	noAnswer, notSent, rejected := class(provider.Ambiguous, 0), class(provider.NotSent, 0), class(provider.Rejected, 422)
	for name, tt := range map[string]struct {
		steps []step
		state task.AttemptState
		want  permits // One window after the last step.
	}{
		"accepted":             {[]step{answered(nil)}, task.AttemptRunning, inFlight},
		"refused for now":      {[]step{answered(class(provider.RateLimited, 429))}, task.AttemptRefused, none},
		"account blocked":      {[]step{answered(class(provider.AccountBlocked, 402))}, task.AttemptRefused, none},
		"rejected":             {[]step{answered(rejected)}, task.AttemptRefused, none},
		"failed at once":       {[]step{answered(class(provider.GenerationFailed, 501))}, task.AttemptFailed, none},
		"unclear answer":       {[]step{answered(class(provider.Ambiguous, 500))}, task.AttemptUnconfirmed, inFlight},
		"not sent":             {[]step{answered(notSent)}, task.AttemptRefused, none},
		"no answer":            {[]step{answered(noAnswer)}, task.AttemptUnconfirmed, both},
		"given up by a stop":   {[]step{answered(context.Canceled)}, task.AttemptUnconfirmed, both},
		"canceled, accepted":   {[]step{answered(nil, canceled)}, task.AttemptRunning, inFlight},
		"canceled, no answer":  {[]step{answered(noAnswer, canceled)}, task.AttemptUnconfirmed, both},
		"expired, no answer":   {[]step{answered(noAnswer, expired)}, task.AttemptUnconfirmed, both},
		"called back, dropped": {[]step{answered(noAnswer, calledBack(proven("p1", provider.Failed), lifecycle.Confirming))}, task.AttemptRunning, inFlight},

		"taken over":           {[]step{lost, takenOver}, task.AttemptUnconfirmed, both},
		"taken over, canceled": {[]step{lost, takenOver, canceled}, task.AttemptUnconfirmed, both},
		"taken over, expired":  {[]step{lost, takenOver, expired}, task.AttemptUnconfirmed, both},
		"taken over, given up": {[]step{lost, takenOver, givenUp}, task.AttemptLost, both},
		"canceled, taken over": {[]step{lost, canceled, takenOver}, task.AttemptUnconfirmed, both},
		"taken over, hinted": {
			[]step{lost, takenOver, calledBack(unproven("p1", provider.Succeeded), lifecycle.Confirming)},
			task.AttemptUnconfirmed, both,
		},
		"taken over, hinted, confirmed": {
			[]step{lost, takenOver, calledBack(unproven("p1", provider.Succeeded), lifecycle.Confirming), checked},
			task.AttemptRunning, inFlight,
		},
		"taken over, succeeded": {
			[]step{lost, takenOver, calledBack(proven("p1", provider.Succeeded), lifecycle.Applied)},
			task.AttemptSucceeded, none,
		},
		"taken over, accepted":  {[]step{answered(nil, takenOver)}, task.AttemptRunning, inFlight},
		"taken over, rejected":  {[]step{answered(rejected, takenOver)}, task.AttemptRefused, none},
		"taken over, not sent":  {[]step{answered(notSent, takenOver)}, task.AttemptRefused, none},
		"taken over, no answer": {[]step{answered(noAnswer, takenOver)}, task.AttemptUnconfirmed, both},
	} {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			s := submission{service: s}
			s.id, s.attempt = s.begin(t, plain())
			for i, happens := range tt.steps {
				if got := s.permits(t); i == 0 && got != both {
					t.Errorf("while it is under way it holds %+v, want both", got)
				}
				happens(t, s)
			}
			stored := s.task(t, s.id)
			if got := stored.Attempt().State; got != tt.state {
				t.Errorf("the attempt is %s, want %s", got, tt.state)
			}
			if got := s.permits(t); !got.window {
				t.Errorf("at once it holds %+v, want the permit of the window", got)
			}
			s.pass(t, window)
			if got := s.permits(t); got != tt.want {
				t.Errorf("one window later it holds %+v, want %+v", got, tt.want)
			}
			s.pass(t, arrive)
			if got := s.permits(t); got.window {
				t.Errorf("it holds %+v though the request can no longer arrive", got)
			}
		})
	}
}

// timed is a store that notes when a change of an attempt begins.
type timed struct {
	*postgres.Tasks
	began []time.Time
}

func (s *timed) ChangeByAttempt(ctx context.Context, id task.AttemptID, decide lifecycle.Decide) (task.Task, error) {
	s.began = append(s.began, time.Now())
	return s.Tasks.ChangeByAttempt(ctx, id, decide)
}

// TestSend_TheRequestLeavesSoonAfterTheCommitOrNever checks what bounds the permits that others hold for the request.
//
// It fails when Send reads the time after its commit.
func TestSend_TheRequestLeavesSoonAfterTheCommitOrNever(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, attempt := s.begin(t, plain())
	store := &timed{Tasks: s.store.Tasks}
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: store, Offerings: s.store.Offerings, Inbox: s.store.Inbox, Saves: s.store.Storage, Sources: s.store.Sources, Accounts: provider.Accounts{"kie": studio{}}, Route: []string{"kie"}, Changed: func(task.ID, task.State) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = verbs.Send(t.Context(), attempt, "", func(ctx context.Context, _ task.Task) (provider.Receipt, error) {
		latest := store.began[0].Add(lifecycle.SendTimeout)
		if by, limited := provider.SendBy(ctx); !limited || by.After(latest) {
			t.Errorf("the request may leave until %v (%t), want %v at the latest", by, limited, latest)
		}
		latest = latest.Add(lifecycle.AnswerTimeout)
		if by, limited := ctx.Deadline(); !limited || by.After(latest) {
			t.Errorf("the request is given up at %v (%t), want %v at the latest", by, limited, latest)
		}
		return provider.Receipt{TaskID: "p1"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
