package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/groupcommit"
)

// TestDescribe_SaysWhenToCallAgain checks the refusals of a service that has more to write than it can.
func TestDescribe_SaysWhenToCallAgain(t *testing.T) {
	t.Parallel()
	s := &Statuses{Unavailable: func(error) bool { return false }}
	for _, tc := range []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{groupcommit.ErrFull, codes.ResourceExhausted, "OVERLOADED"},
		{callback.ErrBusy, codes.Unavailable, "OVERLOADED"}, // HTTP 503.
		{groupcommit.ErrClosed, codes.Unavailable, "SHUTTING_DOWN"},
	} {
		st := s.describe(t.Context(), fmt.Errorf("submit request %q: %w", "r1", errors.Join(tc.err)))
		var reason string
		var retry bool
		for _, d := range st.Details() {
			switch d := d.(type) {
			case *errdetails.ErrorInfo:
				reason = d.GetReason()
			case *errdetails.RetryInfo:
				retry = d.GetRetryDelay().AsDuration() > 0
			}
		}
		if st.Code() != tc.code || reason != tc.reason || !retry {
			t.Errorf("%v is answered %v, want %s with %s and RetryInfo", tc.err, st, tc.code, tc.reason)
		}
	}
}

// TestConvert_OnlyTheCallersEndIsTheCallers ends calls by deadlines and cancellations of the service and of the caller.
func TestConvert_OnlyTheCallersEndIsTheCallers(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	t.Cleanup(cancelLate)
	patient, cancelPatient := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancelPatient)
	for name, tc := range map[string]struct {
		ctx      context.Context
		err      error
		database bool // Whether the error comes from the database.
		want     codes.Code
	}{
		"a statement that took too long":             {t.Context(), context.DeadlineExceeded, true, codes.Unavailable},
		"the same of a caller who allows more":       {patient, context.DeadlineExceeded, true, codes.Unavailable},
		"the same of a caller whose time is up":      {late, context.DeadlineExceeded, true, codes.DeadlineExceeded},
		"the same of a caller who has gone":          {canceled, context.Canceled, true, codes.Canceled},
		"a statement that the service canceled":      {t.Context(), context.Canceled, true, codes.Unavailable},
		"a deadline of an unknown part":              {t.Context(), context.DeadlineExceeded, false, codes.Internal},
		"a cancellation by an unknown part":          {patient, context.Canceled, false, codes.Internal},
		"another fault while the caller has gone":    {canceled, errors.New("a fault"), false, codes.Internal},
		"another fault when the caller's time is up": {late, errors.New("a fault"), false, codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Statuses{Unavailable: func(error) bool { return tc.database }, Log: slog.New(slog.DiscardHandler)}
			if got := status.Code(s.Convert(tc.ctx, "/method", fmt.Errorf("read task: %w", tc.err))); got != tc.want {
				t.Errorf("%v is answered %v, want %v", tc.err, got, tc.want)
			}
		})
	}
}

// TestBoundUnary_ACallWithoutADeadlineEnds has a call wait for a connection to a database that hangs.
func TestBoundUnary_ACallWithoutADeadlineEnds(t *testing.T) {
	t.Parallel()
	waits := func(ctx context.Context, _ any) (any, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
	s := &Statuses{Unavailable: func(error) bool { return false }, Log: slog.New(slog.DiscardHandler)}
	for name, tc := range map[string]struct {
		deadline time.Duration
		want     codes.Code
	}{
		"no deadline":   {0, codes.Unavailable},
		"a longer one":  {time.Hour, codes.Unavailable},
		"a shorter one": {time.Second, codes.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				_, err := boundUnary(ctx, nil, nil, waits)
				if got := status.Code(s.Convert(ctx, "", err)); got != tc.want {
					t.Errorf("the call ended with %v (%v), want %v", got, err, tc.want)
				}
			})
		})
	}
}
