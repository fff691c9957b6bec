package client

import (
	"context"
	"net"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

const (
	testID    = "01990000-0000-7000-8000-000000000001"
	testToken = "refract_sesame-open-0123456789"

	queued    = refractv1.TaskState_TASK_STATE_QUEUED
	running   = refractv1.TaskState_TASK_STATE_RUNNING
	succeeded = refractv1.TaskState_TASK_STATE_SUCCEEDED
	failed    = refractv1.TaskState_TASK_STATE_FAILED
)

// errDraining is what the streams of a replica that shuts down end with.
var errDraining = status.Error(codes.Unavailable, "draining")

// remote is a service that follows the script of a test.
type remote struct {
	refractv1.UnimplementedTaskServiceServer
	address string

	submit func() (*refractv1.Task, error)
	get    func() (*refractv1.Task, error)
	upload func(uploadStream) error
	watch  []func(watchStream) error // One a call; the last one answers further calls.
	all    func(*refractv1.WatchTasksRequest, tasksStream) error

	mu      sync.Mutex
	calls   map[string]int
	watched []*int64 // after_revision of each call.
	headers []string // What came as authorization.
}

type (
	watchStream  = grpc.ServerStreamingServer[refractv1.WatchTaskResponse]
	tasksStream  = grpc.ServerStreamingServer[refractv1.WatchTasksResponse]
	uploadStream = grpc.ClientStreamingServer[refractv1.UploadSourceRequest, refractv1.UploadSourceResponse]
)

// startRemote starts a remote, which ends with the test.
func startRemote(t *testing.T, r *remote, options ...grpc.ServerOption) *remote {
	t.Helper()
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.serve(t, lis, options...)
	r.address = lis.Addr().String()
	return r
}

// serve serves the remote until the test ends.
func (r *remote) serve(t *testing.T, lis net.Listener, options ...grpc.ServerOption) {
	t.Helper()
	r.calls = map[string]int{}
	server := grpc.NewServer(options...)
	refractv1.RegisterTaskServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the remote ended: %v", err)
		}
	})
}

// dial returns a client of the remote, which is closed when the test ends.
func (r *remote) dial(t *testing.T, options ...Option) *Client {
	t.Helper()
	c, err := Dial(r.address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (r *remote) count(ctx context.Context, method string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	r.headers = append(r.headers, md.Get("authorization")...)
	r.calls[method]++
	return r.calls[method]
}

func (r *remote) SubmitTask(ctx context.Context, _ *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error) {
	r.count(ctx, "SubmitTask")
	task, err := r.submit()
	return &refractv1.SubmitTaskResponse{Task: task}, err
}

func (r *remote) RetryTask(ctx context.Context, _ *refractv1.RetryTaskRequest) (*refractv1.RetryTaskResponse, error) {
	r.count(ctx, "RetryTask")
	return nil, errDraining
}

func (r *remote) GetTask(ctx context.Context, _ *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
	r.count(ctx, "GetTask")
	task, err := r.get()
	return &refractv1.GetTaskResponse{Task: task}, err
}

func (r *remote) UploadSource(stream uploadStream) error { return r.upload(stream) }

func (r *remote) WatchTask(req *refractv1.WatchTaskRequest, stream watchStream) error {
	n := r.count(stream.Context(), "WatchTask")
	r.mu.Lock()
	r.watched = append(r.watched, req.AfterRevision)
	r.mu.Unlock()
	return r.watch[min(n, len(r.watch))-1](stream)
}

func (r *remote) WatchTasks(req *refractv1.WatchTasksRequest, stream tasksStream) error {
	r.count(stream.Context(), "WatchTasks")
	return r.all(req, stream)
}

func newTask(revision int64, state refractv1.TaskState) *refractv1.Task {
	return &refractv1.Task{Id: testID, RequestId: "order-1", State: state, Revision: revision}
}

func event(revision int64, state refractv1.TaskState) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Event{Event: &refractv1.TaskEvent{Revision: revision, State: state}}}
}

func snapshot(t *refractv1.Task) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Task{Task: t}}
}

func bookmark(revision int64) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Bookmark{Bookmark: &refractv1.WatchBookmark{Revision: revision}}}
}

// sends is a stream that carries messages and ends with err.
func sends(err error, messages ...*refractv1.WatchTaskResponse) func(watchStream) error {
	return func(stream watchStream) error {
		for _, m := range messages {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return err
	}
}

func refused(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		return err
	}
	return st.Err()
}

func reason(name string) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Domain: "refract", Reason: name}
}
