package api

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// TestServer_StrangersHoldFewCalls opens calls without credentials that last, as many as a connection may have and one more.
// Without the tap of NewServer it may have 10,000, each with 16 KiB of metadata.
func TestServer_StrangersHoldFewCalls(t *testing.T) {
	t.Parallel()
	conn := serveEdge(t, &shelf{})
	health := grpc_health_v1.NewHealthClient(conn)
	watch := func(ctx context.Context) error {
		stream, err := health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	first, end := context.WithCancel(t.Context())
	defer end()
	if err := watch(first); err != nil {
		t.Fatal(err)
	}
	for range maxOpenCalls - 2 {
		if err := watch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// A call whose message does not come.
	if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, refractv1.CallbackService_ReceiveCallback_FullMethodName); err != nil {
		t.Fatal(err)
	}
	if _, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one call too many ended with %v, want RESOURCE_EXHAUSTED", err)
	}
	if _, err := refractv1.NewTaskServiceClient(conn).ListTasks(as(t, "good"), &refractv1.ListTasksRequest{}); err != nil {
		t.Errorf("a call with credentials ended with %v", err)
	}
	end()
	for { // The server may learn of the end later than the client.
		_, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err == nil {
			break
		}
		if status.Code(err) != codes.ResourceExhausted {
			t.Fatal(err)
		}
	}
}

// TestServer_RepeatsNoMethod calls methods that there are not.
func TestServer_RepeatsNoMethod(t *testing.T) {
	t.Parallel()
	conn := serveEdge(t, &shelf{})
	long := strings.Repeat("m", 10_000)
	for _, method := range []string{"/" + long, "/" + long + "/Get", "/refract.v1.TaskService/" + long} {
		err := conn.Invoke(as(t, "good"), method, &emptypb.Empty{}, &emptypb.Empty{})
		if status.Code(err) != codes.Unimplemented || len(err.Error()) > 200 {
			t.Errorf("%.40s… ended with %d bytes: %.100v", method, len(err.Error()), err)
		}
	}
}
