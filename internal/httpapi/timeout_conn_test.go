package httpapi

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// silentConn is a connection to a server that never answers.
type silentConn struct{ grpc.ClientConnInterface }

func (silentConn) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

func TestTimeoutConn_ItsOwnTimeIsNotTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn := timeoutConn{silentConn{}}
		st := status.Convert(conn.Invoke(t.Context(), "/method", nil, nil))
		var reason string
		var retry time.Duration
		for _, d := range st.Details() {
			switch d := d.(type) {
			case *errdetails.ErrorInfo:
				reason = d.GetReason()
			case *errdetails.RetryInfo:
				retry = d.GetRetryDelay().AsDuration()
			}
		}
		if st.Code() != codes.Unavailable || reason != "DATABASE_UNAVAILABLE" || retry == 0 {
			t.Errorf("a call without a deadline ended with %v, want UNAVAILABLE, DATABASE_UNAVAILABLE and RetryInfo", st)
		}
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := status.Code(conn.Invoke(hasty, "/method", nil, nil)); got != codes.DeadlineExceeded {
			t.Errorf("a call with a deadline ended with %v, want DEADLINE_EXCEEDED", got)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if got := status.Code(conn.Invoke(gone, "/method", nil, nil)); got != codes.Canceled {
			t.Errorf("a canceled call ended with %v, want CANCELED", got)
		}
	})
}
