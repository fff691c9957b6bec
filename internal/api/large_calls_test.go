package api

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/task"
)

// TestLargeCalls_ATenantDelaysNoOther has a tenant make as many lists as it may, of which none ends. Another tenant's begins at
// once. It fails without the claim on turns, and when that names no tenant.
func TestLargeCalls_ATenantDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, end := NewLargeCalls(), make(chan struct{})
		working := map[string]int{}
		call := func(tenant, method string) error {
			_, err := l.unary(context.WithValue(t.Context(), identityKey{}, &identity.Identity{Tenant: tenant}), nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) {
				l.mu.Lock()
				working[tenant]++
				l.mu.Unlock()
				<-end
				return nil, errors.New("no answer")
			})
			return err
		}
		for range largeOfTenant {
			go func() { _ = call("films", refractv1.TaskService_ListTasks_FullMethodName) }()
		}
		synctest.Wait()
		if _, refused := errors.AsType[*largeCallsError](call("films", refractv1.TaskService_BatchSubmitTasks_FullMethodName)); !refused {
			t.Error("a tenant may have one call more than it may")
		}
		go func() { _ = call("films", refractv1.TaskService_GetTask_FullMethodName) }()
		for range 2 {
			go func() { _ = call("ads", refractv1.TaskService_ListTaskEvents_FullMethodName) }()
		}
		synctest.Wait()
		l.mu.Lock()
		if got, want := fmt.Sprint(working), fmt.Sprint(map[string]int{"ads": 2, "films": largeAtOnce/2 + 1}); got != want {
			t.Errorf("calls that are worked on: %v, want %v", got, want)
		}
		l.mu.Unlock()
		close(end)
		synctest.Wait()
		if len(l.open) != 0 {
			t.Errorf("calls that have ended count: %v", l.open)
		}
	})
}

// TestLargeCalls_AnAnswerCountsUntilItWasTaken makes calls whose answers no one reads, and ends them by a cancel, others with
// their connection. It fails when a place is given back at the end of its call.
func TestLargeCalls_AnAnswerCountsUntilItWasTaken(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	for range 20 {
		s.all = append(s.all, task.Task{ID: task.ID(uuid.NewString()), State: task.Queued, Spec: task.Spec{Prompt: strings.Repeat("p", 6000)}})
	}
	conn := serveEdge(t, s)
	list := func() error {
		_, err := refractv1.NewTaskServiceClient(conn).ListTasks(as(t, "good"), &refractv1.ListTasksRequest{PageSize: 1})
		return err
	}
	unread, err := grpc.NewClient(conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	// fill leaves answers unread until the tenant has no place left.
	fill := func() (refusal *status.Status, cancel func()) {
		ctx, cancel := context.WithCancel(as(t, "good"))
		for {
			stream, err := unread.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, refractv1.TaskService_ListTasks_FullMethodName)
			if err == nil {
				err = stream.SendMsg(&refractv1.ListTasksRequest{})
			}
			if err != nil {
				t.Fatal(err)
			}
			if st := status.Convert(list()); st.Code() == codes.ResourceExhausted {
				return st, cancel
			}
		}
	}
	untilFree := func() {
		for err := list(); err != nil; err = list() {
			if status.Code(err) != codes.ResourceExhausted {
				t.Fatal(err)
			}
			runtime.GC() // It finds what a broken connection has dropped.
		}
	}
	st, cancel := fill()
	if info, ok := st.Details()[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != "LARGE_CALLS_BUSY" || info.GetMetadata()["limit"] != "16" {
		t.Errorf("refused with %v", st.Details())
	}
	if retry, ok := st.Details()[1].(*errdetails.RetryInfo); !ok || retry.GetRetryDelay().AsDuration() != largeRetry {
		t.Errorf("refused with %v, want RetryInfo", st.Details())
	}
	cancel()
	untilFree()
	_, cancel = fill()
	defer cancel()
	_ = unread.Close()
	untilFree()
}
