package output

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
)

// TestSaveCause_GoesByTheComponent has errors as saves meet them. Those of the database count against no provider.
func TestSaveCause_GoesByTheComponent(t *testing.T) {
	t.Parallel()
	saved := func(err error) error {
		return tried("the provider's link", &media.SaveError{Key: "k", Origin: "o", Err: err})
	}
	reserved := &plain.Error{Text: "the query could not be reserved", Cause: fmt.Errorf("%w: %w", upstream.ErrNotReserved, errors.New("no connection"))}
	for _, tc := range []struct {
		err  error
		want task.WaitCause
	}{
		{saved(fmt.Errorf("%w: %w", media.ErrNotStored, &media.StorageError{Op: "put", Err: errors.New("x")})), task.WaitStorage},
		{saved(media.ErrLinkDead), task.WaitDownload},
		{saved(context.DeadlineExceeded), task.WaitDownload},
		{errNoLinks, task.WaitLinks},
		{fmt.Errorf("links: %w", errNotReady), task.WaitLinks},
		{&provider.Error{Class: provider.Unavailable, Op: "check"}, task.WaitAnswer},
		{fmt.Errorf("account: %w", upstream.ErrNoAccount), task.WaitAnswer},
		{&provider.Error{Class: provider.Unavailable, Op: "check", Err: reserved}, ""},
		{errors.New("settle: no connection"), ""},
		{fmt.Errorf("settle: %w", context.DeadlineExceeded), ""},
	} {
		if got := saveCause(tc.err); got != tc.want {
			t.Errorf("saveCause(%v) = %q, want %q", tc.err, got, tc.want)
		}
	}
}

func TestOwnWait_GrowsUpToHalfAMinute(t *testing.T) {
	t.Parallel()
	for metadata, want := range map[string]time.Duration{
		"": time.Second, "{}": time.Second, `{"snoozes": 1}`: 2 * time.Second, `{"snoozes": 4}`: 16 * time.Second, `{"snoozes": 9000}`: 30 * time.Second,
	} {
		job := &river.Job[task.SaveOutputs]{JobRow: &rivertype.JobRow{Metadata: []byte(metadata)}}
		if got := ownWait(job); got != want {
			t.Errorf("after %q: %s, want %s", metadata, got, want)
		}
	}
}

// unread is a database that does not answer, or one attempt whose account is not configured.
type unread struct{ err error }

func (u unread) TaskOfAttempt(_ context.Context, id task.AttemptID) (task.Task, error) {
	return task.Task{ID: "t", Tenant: "films", Attempts: []task.Attempt{{ID: id, Account: "kie", State: task.AttemptSucceeded}}}, u.err
}

// TestWork_FailuresOfOursAreNoTries has saves that a stop cuts, and those of which the database says nothing: neither counts
// among the tries after which a paid result is given up.
func TestWork_FailuresOfOursAreNoTries(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		stop bool
	}{
		"the database does not answer":             {err: errors.New("no connection")},
		"a stop cuts the save":                     {stop: true},
		"a stop, and the database does not answer": {err: errors.New("no connection"), stop: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := New(Config{
				Tasks: unread{tc.err}, Log: slog.New(slog.DiscardHandler), Now: time.Now, Meter: noop.Meter{},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Cut()
			if tc.stop {
				s.Cut()
			}
			job := &river.Job[task.SaveOutputs]{JobRow: &rivertype.JobRow{Attempt: 12}, Args: task.SaveOutputs{AttemptID: "a"}}
			err = s.Work(t.Context(), job)
			if _, snoozed := errors.AsType[*rivertype.JobSnoozeError](err); !snoozed {
				t.Errorf("Work = %v, want it to begin anew without a try", err)
			}
		})
	}
}
