package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// expire lets every deadline pass and runs Expire.
func (s service) expire(t *testing.T) int {
	t.Helper()
	s.exec(t, "UPDATE task SET deadline_time = now() WHERE deadline_time > now()")
	n, err := s.Expire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestExpire_EndsEachOverdueTaskOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for range 30 {
		s.submit(t, plain())
	}
	s.exec(t, "UPDATE task SET deadline_time = now()")
	errs := atOnce(t.Context(), 6, func(ctx context.Context, _ int) error {
		_, err := s.Expire(ctx)
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := query[int](t, s, "SELECT count(*) FROM task WHERE state = 'FAILED' AND failure_reason = 'DEADLINE_EXCEEDED' AND revision = 2"); n != 30 {
		t.Errorf("%d tasks FAILED with DEADLINE_EXCEEDED at revision 2, want 30", n)
	}
	if n := query[int](t, s, "SELECT count(*) FROM task_event WHERE state = 'FAILED'"); n != 30 {
		t.Errorf("%d events tell of it, want 30", n)
	}
	if n, err := s.Expire(t.Context()); n != 0 || err != nil {
		t.Errorf("Expire afterwards = %d, %v, want 0", n, err)
	}
}

func TestExpire_SparesWhatIsBeingSaved(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.start(t, "p1")
	if err := s.callback(t.Context(), attempt, proven("p1", provider.Succeeded), lifecycle.Applied); err != nil {
		t.Fatal(err)
	}
	if n := s.expire(t); n != 0 {
		t.Errorf("Expire found %d tasks, want none", n)
	}
	s.expect(t, id, task.Saving, task.AttemptSucceeded)
}

// waiting counts the sessions of this database that wait for a lock.
const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`

func TestExpire_SparesATaskThatIsRetriedMeanwhile(t *testing.T) {
	t.Parallel()
	s := setup(t)
	submitted := s.submit(t, plain())
	s.exec(t, "UPDATE task SET deadline_time = now()")
	retry := postgrestest.Begin(t, s.pool)
	if _, err := retry.Exec(t.Context(), "UPDATE task SET deadline_time = now() + interval '1 hour'"); err != nil {
		t.Fatal(err)
	}
	expired := make(chan error, 1)
	go func() {
		_, err := s.Expire(t.Context()) // It finds the task overdue and waits for its row.
		for dbpool.Locked(err) {        // The retry below took longer than a change waits for a row.
			_, err = s.Expire(t.Context())
		}
		expired <- err
	}()
	for query[int](t, s, waiting) == 0 {
		if len(expired) > 0 {
			t.Fatalf("Expire did not wait for the task: %v", <-expired)
		}
	}
	if err := retry.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-expired; err != nil {
		t.Fatal(err)
	}
	if got := s.task(t, submitted.ID); got.State != task.Queued {
		t.Errorf("the task is %s, want QUEUED", got.State)
	}
}

func TestRetry_RenewsTheDeadline(t *testing.T) {
	t.Parallel()
	s := setup(t)
	submitted := s.submit(t, plain())
	s.expire(t)
	retried, err := s.Retry(t.Context(), "films", submitted.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if retried.State != task.Queued {
		t.Fatalf("the retried task is %s, want QUEUED", retried.State)
	}
	if left := time.Until(retried.DeadlineTime); left < 5*time.Hour || left > 7*time.Hour {
		t.Errorf("the deadline is in %s, want the whole 6 hours again", left)
	}
	if n, err := s.Expire(t.Context()); n != 0 || err != nil {
		t.Errorf("Expire = %d, %v, want 0", n, err)
	}
}

func TestRetry_OnlyOfFailedAndCanceledTasks(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.start(t, "p1")
	if _, err := s.Retry(t.Context(), "films", id, true); !errors.Is(err, task.ErrNotRetryable) {
		t.Errorf("Retry of a RUNNING task = %v, want ErrNotRetryable", err)
	}
	if _, err := s.Cancel(t.Context(), "films", id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retry(t.Context(), "shorts", id, false); !errors.Is(err, lifecycle.ErrTaskNotFound) {
		t.Errorf("Retry by another tenant = %v, want ErrTaskNotFound", err)
	}
	if _, err := s.Retry(t.Context(), "films", id, false); err != nil {
		t.Fatal(err)
	}
	got := s.expect(t, id, task.Running, task.AttemptRunning)
	if len(got.Attempts) != 1 || got.Attempt().ID != attempt {
		t.Error("a retry of a canceled task that still runs pays for another attempt")
	}
}

func TestRetry_NewAttemptIsPaidForThoughOneIsOpen(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, first := s.start(t, "p1")
	if _, err := s.Cancel(t.Context(), "films", id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retry(t.Context(), "films", id, true); err != nil {
		t.Fatal(err)
	}
	s.admit(t)
	got := s.expect(t, id, task.Submitting, task.AttemptSubmitting)
	if len(got.Attempts) != 2 || got.Attempts[0].ID != first || got.Attempts[0].State != task.AttemptRunning {
		t.Errorf("attempts = %+v, want the first to continue together with a second", got.Attempts)
	}
}

func TestCancel_IsIdempotentAndTheTenantsOwn(t *testing.T) {
	t.Parallel()
	s := setup(t)
	submitted := s.submit(t, plain())
	if _, err := s.Cancel(t.Context(), "shorts", submitted.ID); !errors.Is(err, lifecycle.ErrTaskNotFound) {
		t.Errorf("Cancel by another tenant = %v, want ErrTaskNotFound", err)
	}
	for range 2 {
		canceled, err := s.Cancel(t.Context(), "films", submitted.ID)
		if err != nil || canceled.State != task.Canceled || canceled.Revision != 2 {
			t.Errorf("Cancel = %s at revision %d, %v, want CANCELED at 2", canceled.State, canceled.Revision, err)
		}
	}
}

func TestSettleSave_FailureEndsTheTaskAndRetrySavesAgain(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.start(t, "p1")
	s.check(t, succeeded, nil)
	_, err := s.SettleSave(t.Context(), attempt, nil, &task.SaveFailed{Attempt: attempt, Reason: task.OutputUnavailable, Message: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	got := s.expect(t, id, task.Failed, task.AttemptSucceeded)
	if got.Failure.Reason != task.OutputUnavailable || got.Failure.Payment != task.PaymentPaid {
		t.Errorf("failure = %+v, want OUTPUT_UNAVAILABLE, paid", got.Failure)
	}
	if _, err := s.Retry(t.Context(), "films", id, false); err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Saving, task.AttemptSucceeded)
	if n := query[int](t, s, "SELECT count(*) FROM river_job WHERE kind = 'save_outputs'"); n != 2 {
		t.Errorf("%d save jobs, want 2", n)
	}
	outputs := []task.Output{{Key: "k", ContentType: "video/mp4", SizeBytes: 1, SHA256: make([]byte, 32)}}
	for try := range 2 { // A job runs at least once.
		if recorded, err := s.SettleSave(t.Context(), attempt, outputs, nil); err != nil || recorded != (try == 0) {
			t.Fatalf("save %d: recorded is %v, %v, want the first alone to be", try, recorded, err)
		}
	}
	if got := s.expect(t, id, task.Succeeded, task.AttemptSucceeded); len(got.Outputs) != 1 {
		t.Errorf("%d outputs, want 1", len(got.Outputs))
	}
}
