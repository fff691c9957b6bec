package task_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/task"
)

// TestMain makes rapid draw more histories than by default, since a history costs microseconds.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("600"); err != nil {
			fmt.Fprintf(os.Stderr, "set rapid.checks: %v\n", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// promises are the properties of every history.
var promises = []struct {
	name string
	kept func(*history) error
}{
	{"TerminalIsTerminal", terminalIsTerminal},
	{"RevisionsHaveNoGaps", revisionsHaveNoGaps},
	{"StateChangesAreEvents", stateChangesAreEvents},
	{"FailureIsSetExactlyWhenFailed", failureIsSetExactlyWhenFailed},
	{"NoPaymentWithoutProofOrRetry", noPaymentWithoutProofOrRetry},
	{"PaymentsStayWithinTheAllowance", paymentsStayWithinTheAllowance},
	{"AllowanceNeverShrinks", allowanceNeverShrinks},
	{"NamedAttemptsAreNotRefused", namedAttemptsAreNotRefused},
	{"AttemptsAreSentOnceAndWhileWanted", attemptsAreSentOnceAndWhileWanted},
	{"RetryPrefersResults", retryPrefersResults},
	{"SubmittingHasItsJob", submittingHasItsJob},
	{"SavingHasItsJob", savingHasItsJob},
	{"SucceededIsSaved", succeededIsSaved},
	{"OpenAttemptsAreChecked", openAttemptsAreChecked},
	{"RepeatedInputsChangeNothing", repeatedInputsChangeNothing},
	{"UnchangedDecisionsAreEmpty", unchangedDecisionsAreEmpty},
	{"TheReceiverIsLeftAlone", theReceiverIsLeftAlone},
	{"NoTaskIsStuck", noTaskIsStuck},
}

func TestApply_KeepsItsPromisesInEveryOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		for _, promise := range promises {
			if err := promise.kept(h); err != nil {
				t.Errorf("%s: %v%v", promise.name, err, h)
			}
		}
	})
}

// SUCCEEDED never changes, and FAILED and CANCELED change only by RetryRequested. Other inputs change only the attempts
// of such a task.
func terminalIsTerminal(h *history) error {
	for i, s := range h.steps {
		_, retry := s.in.(task.RetryRequested)
		if !s.before.State.Terminal() || retry && s.before.State != task.Succeeded {
			continue
		}
		after := s.after
		after.Attempts = s.before.Attempts // They are followed to their ends, so that payment is known.
		if reflect.DeepEqual(s.before, after) {
			continue // The usual case, without the cost of a diff.
		}
		if diff := cmp.Diff(s.before, after); diff != "" {
			return fmt.Errorf("step %d: %T changed a task that was %s (-before +after):\n%s", i+1, s.in, s.before.State, diff)
		}
	}
	return nil
}

// A decision with an event adds one to the revision, and the event has the task's new revision. A decision without an
// event keeps the revision.
func revisionsHaveNoGaps(h *history) error {
	for i, s := range h.steps {
		want := s.before.Revision
		if e := s.decision.Event; e != nil {
			want++
			if e.Revision != want {
				return fmt.Errorf("step %d: got an event of revision %d, want %d", i+1, e.Revision, want)
			}
		}
		if got := s.decision.Task.Revision; got != want {
			return fmt.Errorf("step %d: got a task of revision %d, want %d", i+1, got, want)
		}
	}
	return nil
}

// A state never changes without an event, and an event has the state and failure of its task.
func stateChangesAreEvents(h *history) error {
	for i, s := range h.steps {
		e := s.decision.Event
		switch {
		case e == nil && s.after.State != s.before.State:
			return fmt.Errorf("step %d: %s → %s without an event", i+1, s.before.State, s.after.State)
		case e != nil && (e.State != s.after.State || e.Failure != s.after.Failure || e.Message == ""):
			return fmt.Errorf("step %d: event %+v does not fit the task", i+1, *e)
		}
	}
	return nil
}

// A task has a failure exactly when it is FAILED, with a reason and a statement about payment.
func failureIsSetExactlyWhenFailed(h *history) error {
	for i, s := range h.steps {
		f := s.after.Failure
		if (f != nil) != (s.after.State == task.Failed) {
			return fmt.Errorf("step %d: %s with failure %+v", i+1, s.after.State, f)
		}
		if f != nil && (!slices.Contains(task.Reasons, f.Reason) || f.Payment == "" || f.Message == "") {
			return fmt.Errorf("step %d: incomplete failure %+v", i+1, *f)
		}
	}
	return nil
}

// Another attempt follows only if each one before was refused, was reported as failed by the provider, or is excused by
// a caller's retry: one that queued the task, or one that continued it after the attempt was lost.
func noPaymentWithoutProofOrRetry(h *history) error {
	excused := map[task.AttemptID]bool{}
	for i, s := range h.steps {
		if _, retry := s.in.(task.RetryRequested); retry && s.err == nil {
			for _, a := range s.after.Attempts {
				excused[a.ID] = excused[a.ID] || s.after.State == task.Queued || a.State == task.AttemptLost
			}
		}
		if len(s.after.Attempts) == len(s.before.Attempts) {
			continue
		}
		for _, a := range s.before.Attempts {
			if !excused[a.ID] && a.State != task.AttemptRefused && a.State != task.AttemptFailed {
				return fmt.Errorf("step %d: attempt %s was %s when another followed", i+1, a.ID, a.State)
			}
		}
	}
	return nil
}

// When an attempt is admitted, at most MaxAttempts attempts of the task may have been paid for, or one more than when a
// caller's retry queued the task.
func paymentsStayWithinTheAllowance(h *history) error {
	paid := func(t task.Task) int {
		return len(slices.DeleteFunc(slices.Clone(t.Attempts), func(a task.Attempt) bool { return a.State == task.AttemptRefused }))
	}
	allowed := h.task.Spec.MaxAttempts
	for i, s := range h.steps {
		if _, retry := s.in.(task.RetryRequested); retry && s.entered(task.Queued) {
			allowed = max(allowed, paid(s.before)+1)
		}
		if len(s.after.Attempts) > len(s.before.Attempts) && paid(s.after) > allowed {
			return fmt.Errorf("step %d: %d attempts may be paid for, want at most %d", i+1, paid(s.after), allowed)
		}
	}
	return nil
}

// The allowance starts as the spec's MaxAttempts and grows with retries. It never shrinks.
func allowanceNeverShrinks(h *history) error {
	for i, s := range h.steps {
		if s.after.Allowance < s.before.Allowance {
			return fmt.Errorf("step %d: the allowance shrank from %d to %d", i+1, s.before.Allowance, s.after.Allowance)
		}
	}
	return nil
}

// An attempt with a provider task id was created there, and one with a callback may have been. No input makes them
// REFUSED, since another paid attempt would follow.
func namedAttemptsAreNotRefused(h *history) error {
	for i, s := range h.steps {
		for n, a := range s.before.Attempts {
			name := a.ProviderTaskID
			if a.Sent {
				name += a.HintedTaskID // Before that, a hint is invented.
			}
			if name != "" && a.State != task.AttemptRefused && s.after.Attempts[n].State == task.AttemptRefused {
				return fmt.Errorf("step %d: attempt %s, named %s, became REFUSED", i+1, a.ID, name)
			}
		}
	}
	return nil
}

// Sending is granted once per attempt, and only while the task is SUBMITTING and no newer attempt is open.
func attemptsAreSentOnceAndWhileWanted(h *history) error {
	sent := map[task.AttemptID]bool{}
	for i, s := range h.steps {
		in, sending := s.in.(task.Sending)
		if !sending || s.err != nil || s.before.AttemptByID(in.Attempt).Sent || !s.after.AttemptByID(in.Attempt).Sent {
			continue
		}
		if sent[in.Attempt] {
			return fmt.Errorf("step %d: attempt %s is sent again", i+1, in.Attempt)
		}
		newer := s.before.Attempts[s.before.AttemptByID(in.Attempt).Number:]
		superseded := slices.ContainsFunc(newer, func(a task.Attempt) bool { return a.Open() })
		if s.before.State != task.Submitting || superseded {
			return fmt.Errorf("step %d: attempt %s is sent while the task is %s, superseded %t", i+1, in.Attempt, s.before.State, superseded)
		}
		sent[in.Attempt] = true
	}
	return nil
}

// A retry that does not request a new attempt adopts a result if there is one. It does not wait for another attempt or
// send one.
func retryPrefersResults(h *history) error {
	for i, s := range h.steps {
		in, retry := s.in.(task.RetryRequested)
		if !retry || in.NewAttempt || s.err != nil {
			continue
		}
		hasResult := slices.ContainsFunc(s.before.Attempts, func(a task.Attempt) bool { return a.State == task.AttemptSucceeded })
		if hasResult && s.after.State != task.Saving && s.after.State != task.Succeeded {
			return fmt.Errorf("step %d: the retry led to %s although there is a result", i+1, s.after.State)
		}
	}
	return nil
}

// SUBMITTING is entered with one SubmitAttempt job for an attempt in SUBMITTING, unless that attempt is already being
// sent. Nothing else enqueues such a job.
func submittingHasItsJob(h *history) error {
	for i, s := range h.steps {
		var submits, want []task.AttemptID
		for _, j := range s.decision.Jobs {
			if submit, ok := j.(task.SubmitAttempt); ok {
				submits = append(submits, submit.AttemptID)
			}
		}
		if s.entered(task.Submitting) {
			a := s.after.Attempts[s.decision.Event.Attempt-1]
			if a.State != task.AttemptSubmitting {
				return fmt.Errorf("step %d: SUBMITTING with attempt %s, which is %s", i+1, a.ID, a.State)
			}
			if !a.Sent {
				want = append(want, a.ID)
			}
		}
		if !slices.Equal(submits, want) {
			return fmt.Errorf("step %d: got submit jobs for %v, want %v", i+1, submits, want)
		}
	}
	return nil
}

// SAVING is entered with a SaveOutputs job for the result to save.
func savingHasItsJob(h *history) error {
	for i, s := range h.steps {
		if s.entered(task.Saving) && !s.saves(s.after.Result) {
			return fmt.Errorf("step %d: SAVING the result of %q with jobs %v", i+1, s.after.Result, s.decision.Jobs)
		}
		if s.after.State == task.Saving && !s.entered(task.Saving) && s.after.Result != s.before.Result {
			return fmt.Errorf("step %d: the result changed from %q to %q while SAVING", i+1, s.before.Result, s.after.Result)
		}
	}
	return nil
}

// saves reports whether a step has the job that saves the outputs of an attempt.
func (s *step) saves(id task.AttemptID) bool {
	return slices.ContainsFunc(s.decision.Jobs, func(j task.Job) bool {
		save, ok := j.(task.SaveOutputs)
		return ok && save.AttemptID == id
	})
}

// A task is SUCCEEDED only with a result whose outputs are in the bucket.
func succeededIsSaved(h *history) error {
	for i, s := range h.steps {
		if s.after.State != task.Succeeded {
			continue
		}
		if a := s.after.AttemptByID(s.after.Result); a == nil || a.State != task.AttemptSucceeded || !a.Saved {
			return fmt.Errorf("step %d: SUCCEEDED with result %+v", i+1, a)
		}
	}
	return nil
}

// An attempt that becomes UNCONFIRMED or RUNNING gets a time for its next check.
func openAttemptsAreChecked(h *history) error {
	followed := func(s task.AttemptState) bool { return s == task.AttemptUnconfirmed || s == task.AttemptRunning }
	for i, s := range h.steps {
		for n, a := range s.after.Attempts {
			was := n < len(s.before.Attempts) && followed(s.before.Attempts[n].State)
			if followed(a.State) && !was && s.decision.Check != a.ID {
				return fmt.Errorf("step %d: attempt %s became %s and is never checked", i+1, a.ID, a.State)
			}
		}
	}
	return nil
}

// An input that comes twice in a row changes nothing the second time. Exceptions: Hinted asks the provider again.
// Admitted, Sending (where it was granted) and RetryRequested are refused.
func repeatedInputsChangeNothing(h *history) error {
	for i, s := range h.steps {
		if s.err != nil {
			continue
		}
		again, err := s.after.Apply(s.in)
		var want error
		switch s.in.(type) {
		case task.Hinted:
			if again.Event != nil || again.Jobs != nil {
				return fmt.Errorf("step %d: a second %T did more than ask the provider", i+1, s.in)
			}
			continue
		case task.Admitted:
			want = task.ErrNotQueued
		case task.Sending:
			if s.after.AttemptByID(s.in.(task.Sending).Attempt).Sent {
				want = task.ErrAlreadySent
			}
		case task.RetryRequested:
			want = task.ErrNotRetryable
		}
		if !errors.Is(err, want) || again.Changed {
			return fmt.Errorf("step %d: a second %T gave Changed %t and error %w, want %w", i+1, s.in, again.Changed, err, want)
		}
	}
	return nil
}

// A decision that is refused or not Changed contains nothing to commit.
func unchangedDecisionsAreEmpty(h *history) error {
	for i, s := range h.steps {
		if s.err == nil && s.decision.Changed || reflect.DeepEqual(s.decision, task.Decision{Task: s.before}) {
			continue
		}
		diff := cmp.Diff(task.Decision{Task: s.before}, s.decision)
		return fmt.Errorf("step %d: an unchanged decision holds something (-want +got):\n%s", i+1, diff)
	}
	return nil
}

// Apply does not change its receiver, so a decision can be dropped.
func theReceiverIsLeftAlone(h *history) error {
	for i, s := range h.steps {
		if !reflect.DeepEqual(s.before, s.receiver) {
			diff := cmp.Diff(s.before, s.receiver)
			return fmt.Errorf("step %d: Apply changed its receiver (-before +after):\n%s", i+1, diff)
		}
	}
	return nil
}
