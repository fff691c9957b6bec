package api

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/publicerr"
	"github.com/refract-video/refract/internal/task"
)

// failing stands in for the tasks of a service that has a fault. A nil fault panics.
type failing struct {
	Tasks
	fault error
}

func (f failing) ListTasks(context.Context, task.Filter) (task.Page, error) {
	if f.fault == nil {
		var none *task.Task
		_ = none.ID // The fault.
	}
	return task.Page{}, f.fault
}

// malformed makes a call with bytes that are no message.
func malformed(ctx context.Context, conn *grpc.ClientConn, method string) error {
	raw := grpc.ForceCodecV2(bytesCodec{encoding.GetCodecV2(protocodec.Name)})
	return conn.Invoke(ctx, method, []byte("\xff\xff\xff"), &refractv1.ListTasksResponse{}, raw)
}

// TestServer_ChecksInOrder makes a call wrong in more than one way. Each answer comes from the outermost check.
func TestServer_ChecksInOrder(t *testing.T) {
	t.Parallel()
	large := NewLargeCalls()
	var places []*largePlace
	for range largeOfTenant {
		places = append(places, large.enter("ops"))
	}
	defer runtime.KeepAlive(places) // A place that is dropped comes back.
	conn, _ := serveInMemory(t, Config{Large: large, Tasks: NewTaskService(TaskServiceConfig{Tasks: failing{fault: errors.New("a fault")}})})
	for name, tc := range map[string]struct {
		token, method string
		want          codes.Code
	}{
		"no credentials, then no message":         {"bad", refractv1.TaskService_ListTasks_FullMethodName, codes.Unauthenticated},
		"no operator, then no message":            {"good", refractv1.OperatorService_ListTenants_FullMethodName, codes.PermissionDenied},
		"too many large calls, then no message":   {"operator", refractv1.TaskService_ListTasks_FullMethodName, codes.ResourceExhausted},
		"no message, then a fault of the service": {"good", refractv1.TaskService_ListTasks_FullMethodName, codes.InvalidArgument},
	} {
		if err := malformed(as(t, tc.token), conn, tc.method); status.Code(err) != tc.want {
			t.Errorf("%s: answered %v, want %v", name, err, tc.want)
		}
	}
	// With nothing else wrong, the fault is what is left.
	_, err := refractv1.NewTaskServiceClient(conn).ListTasks(as(t, "good"), &refractv1.ListTasksRequest{})
	if status.Code(err) != codes.Internal {
		t.Errorf("a fault is answered %v", err)
	}
}

// TestServer_ACallHasATenantANameAndAnEnd looks at the context in which a call is worked on.
func TestServer_ACallHasATenantANameAndAnEnd(t *testing.T) {
	t.Parallel()
	client, f := serveFilters(t)
	began := time.Now()
	ctx := metadata.AppendToOutgoingContext(as(t, "good"), requestIDHeader, "call-7")
	if _, err := client.ListTasks(ctx, &refractv1.ListTasksRequest{}); err != nil {
		t.Fatal(err)
	}
	deadline, bounded := f.ctx.Deadline()
	if tenantOf(f.ctx) != "acme" || requestIDOf(f.ctx) != "call-7" || !bounded {
		t.Errorf("the call has tenant %q, name %q, and an end: %t", tenantOf(f.ctx), requestIDOf(f.ctx), bounded)
	}
	if latest := time.Now().Add(publicerr.CallTimeout); deadline.Before(began) || deadline.After(latest) {
		t.Errorf("the call ends at %v, want at most %v after its begin at %v", deadline, publicerr.CallTimeout, began)
	}
}

// TestServer_ACallThatItEndsIsNotRepeatedAtOnce expects the trailer by which gRPC clients do not repeat a call.
func TestServer_ACallThatItEndsIsNotRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	fault := status.Error(codes.Unavailable, "a fault of its own")
	for name, tc := range map[string]struct {
		patience time.Duration // Of the caller.
		handler  grpc.UnaryHandler
		want     []string
	}{
		"the service ends it": {time.Hour, func(ctx context.Context, _ any) (any, error) { <-ctx.Done(); return nil, ctx.Err() }, []string{"-1"}},
		"the caller ends it":  {time.Second, func(ctx context.Context, _ any) (any, error) { <-ctx.Done(); return nil, ctx.Err() }, nil},
		"it fails late":       {time.Hour, func(context.Context, any) (any, error) { <-time.After(publicerr.CallTimeout - 1); return nil, fault }, nil},
		"it succeeds late":    {time.Hour, func(context.Context, any) (any, error) { <-time.After(2 * publicerr.CallTimeout); return "done", nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tc.patience)
				defer cancel()
				var call trailers
				_, _ = boundUnary(grpc.NewContextWithServerTransportStream(ctx, &call), nil, nil, tc.handler)
				if got := call.md.Get("grpc-retry-pushback-ms"); !slices.Equal(got, tc.want) {
					t.Errorf("the trailer says %q, want %q", got, tc.want)
				}
			})
		})
	}
}

// trailers collects the trailers of a call.
type trailers struct {
	grpc.ServerTransportStream
	md metadata.MD
}

func (s *trailers) SetTrailer(md metadata.MD) error {
	s.md = metadata.Join(s.md, md)
	return nil
}

func TestServer_APanicIsAFaultWithANameInTheLog(t *testing.T) {
	t.Parallel()
	log, lines := testLogger()
	conn, stop := serveInMemory(t, Config{Log: log, Tasks: NewTaskService(TaskServiceConfig{Tasks: failing{}})})
	ctx := metadata.AppendToOutgoingContext(as(t, "good"), requestIDHeader, "call-7")
	_, err := refractv1.NewTaskServiceClient(conn).ListTasks(ctx, &refractv1.ListTasksRequest{})
	stop()
	st := status.Convert(err)
	if reason, facts := reasonOfStatus(st); st.Code() != codes.Internal || reason != "INTERNAL" || facts["request_id"] != "call-7" {
		t.Errorf("answered %v with %s %v", err, reason, facts)
	}
	if strings.Contains(st.Message(), "nil pointer") {
		t.Errorf("the caller sees %q", st.Message())
	}
	found := lines.find(t, "panic")
	if len(found) != 1 || found[0]["request_id"] != "call-7" || !strings.Contains(found[0]["stack"].(string), "failing.ListTasks") {
		t.Errorf("the log has %v", found)
	}
}

// TestServer_LogsEachCallOnce looks at the level, which says whether someone has to act.
func TestServer_LogsEachCallOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		token, level, code string
		size               int32
	}{
		"a call that succeeds": {"good", "DEBUG", "OK", 1},
		"a stranger":           {"bad", "INFO", "Unauthenticated", 1},
		"a mistake":            {"good", "INFO", "InvalidArgument", -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, lines := testLogger()
			conn, stop := serveInMemory(t, Config{Log: log, Tasks: NewTaskService(TaskServiceConfig{Tasks: &filters{}})})
			ctx := metadata.AppendToOutgoingContext(as(t, tc.token), requestIDHeader, "call-7")
			_, _ = refractv1.NewTaskServiceClient(conn).ListTasks(ctx, &refractv1.ListTasksRequest{PageSize: tc.size})
			stop()
			found := lines.find(t, "finished call")
			if len(found) != 1 {
				t.Fatalf("the log has %v, want one line", found)
			}
			for key, want := range map[string]string{
				"level": tc.level, "grpc.code": tc.code, "grpc.method": "ListTasks", "grpc.service": "refract.v1.TaskService", "request_id": "call-7",
			} {
				if found[0][key] != want {
					t.Errorf("%s is %v, want %s", key, found[0][key], want)
				}
			}
		})
	}
}

func TestServer_LogsTheEndOfAStream(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err         error
		level, code string
	}{
		"an upload that ends":             {nil, "DEBUG", "OK"},
		"an upload that the drain cut":    {status.Error(codes.Unavailable, "draining"), "INFO", "Unavailable"}, // It costs bytes.
		"an upload that the service cut":  {identity.ErrQueue, "INFO", "Unavailable"},
		"an upload that its caller ended": {status.Error(codes.Canceled, "canceled"), "DEBUG", "Canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, lines := testLogger()
			uploads := &uploadsStandIn{receive: func(context.Context) error { return tc.err }}
			conn, stop := serveInMemory(t, Config{Log: log, Tasks: NewTaskService(TaskServiceConfig{Uploads: uploads})})
			_, err := sendAll(t, refractv1.NewTaskServiceClient(conn), uploadHeader())
			if (err == nil) != (tc.err == nil) {
				t.Errorf("the upload ended with %v, want %v", err, tc.err)
			}
			stop()
			found := lines.find(t, "finished call")
			if len(found) != 1 || found[0]["level"] != tc.level || found[0]["grpc.code"] != tc.code || found[0]["grpc.method"] != "UploadSource" {
				t.Errorf("the log has %v, want %s at %s", found, tc.code, tc.level)
			}
		})
	}
}

func TestRequestID_IsTheCallersOnlyWhereItIsPlain(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"order-1": true, strings.Repeat("x", 64): true, "~!": true,
		"": false, strings.Repeat("x", 65): false, "two words": false, "line\nbreak": false, "é": false, "\x7f": false,
	} {
		ctx := withRequestID(metadata.NewIncomingContext(t.Context(), metadata.Pairs(requestIDHeader, id)))
		if got := requestIDOf(ctx); (got == id) != want || got == "" {
			t.Errorf("a call named %q is named %q, want its own name: %t", id, got, want)
		}
	}
	if first, second := requestIDOf(withRequestID(t.Context())), requestIDOf(withRequestID(t.Context())); first == second {
		t.Errorf("two calls without a name are both named %q", first)
	}
}

// TestLargeCalls_AreTheListsAndTheBatch walks the contract: a list that is added is bounded, too.
func TestLargeCalls_AreTheListsAndTheBatch(t *testing.T) {
	t.Parallel()
	for _, service := range []grpc.ServiceDesc{refractv1.TaskService_ServiceDesc, refractv1.ModelService_ServiceDesc, refractv1.WebhookService_ServiceDesc, refractv1.OperatorService_ServiceDesc, refractv1.CallbackService_ServiceDesc} {
		for _, m := range service.Methods {
			want := strings.HasPrefix(m.MethodName, "List") || strings.HasPrefix(m.MethodName, "Batch")
			if got := isLarge("/" + service.ServiceName + "/" + m.MethodName); got != want {
				t.Errorf("%s is large: %t, want %t", m.MethodName, got, want)
			}
		}
	}
}

// TestLargeCalls_AShortAnswerGivesItsPlaceBack encodes answers: a short one is not taken from a pool, so nothing comes back later.
func TestLargeCalls_AShortAnswerGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	for name, prompt := range map[string]string{"short": "p", "long": strings.Repeat("p", 1<<20)} {
		l := NewLargeCalls()
		a := &largeAnswer{message: &refractv1.ListTasksResponse{Tasks: []*refractv1.Task{{Prompt: prompt}}}, place: l.enter("films")}
		data, err := newCodec().Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if open := l.open["films"]; (open == 1) != (name == "long") {
			t.Errorf("%s: %d answers count while one waits for its caller", name, open)
		}
		data.Free()
		if len(l.open) != 0 {
			t.Errorf("%s: an answer that was taken counts: %v", name, l.open)
		}
	}
}

func TestLargeCallsError_SaysWhatToWaitFor(t *testing.T) {
	t.Parallel()
	if got := (&largeCallsError{limit: 16}).Error(); !strings.Contains(got, "the tenant has 16") {
		t.Errorf("a tenant over its limit reads %q", got)
	}
	if got := (&largeCallsError{}).Error(); !strings.Contains(got, "another replica") || strings.Contains(got, "0") {
		t.Errorf("a replica without room reads %q", got)
	}
}
