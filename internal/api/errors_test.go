package api

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/groupcommit"
)

// TestDescribe_TellsWhenToComeAgain checks the refusals of a service that has more to write than it can.
func TestDescribe_TellsWhenToComeAgain(t *testing.T) {
	t.Parallel()
	s := &statuses{unavailable: func(error) bool { return false }}
	for _, tc := range []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{groupcommit.ErrFull, codes.ResourceExhausted, "OVERLOADED"},
		{callback.ErrBusy, codes.Unavailable, "OVERLOADED"}, // HTTP 503.
		{groupcommit.ErrClosed, codes.Unavailable, "SHUTTING_DOWN"},
	} {
		st := s.describe(fmt.Errorf("submit request %q: %w", "r1", errors.Join(tc.err)))
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
