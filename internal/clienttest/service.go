// Package clienttest has the far side of a client, for the tests of client and of cli: a service that follows the script of a
// test, a shelf of uploads, and a server of one file.
package clienttest

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

type (
	// WatchStream is the stream of WatchTask, as the service sees it.
	WatchStream = grpc.ServerStreamingServer[refractv1.WatchTaskResponse]
	// WatchAllStream is the stream of WatchTasks.
	WatchAllStream = grpc.ServerStreamingServer[refractv1.WatchTasksResponse]
	// UploadStream is the stream of UploadSource.
	UploadStream = grpc.ClientStreamingServer[refractv1.UploadSourceRequest, refractv1.UploadSourceResponse]
)

// Service is a TaskService and a ModelService whose answers are functions of a test. A call without its function panics, and so fails the test.
// Functions may be replaced between calls.
type Service struct {
	refractv1.UnimplementedTaskServiceServer
	refractv1.UnimplementedModelServiceServer
	Address string // Where it listens. Start sets it.

	// Webhooks is served, too, where it is not nil.
	Webhooks refractv1.WebhookServiceServer

	Submit   func(*refractv1.SubmitTaskRequest) (*refractv1.Task, error)
	Batch    func(*refractv1.BatchSubmitTasksRequest) (*refractv1.BatchSubmitTasksResponse, error)
	Retry    func(*refractv1.RetryTaskRequest) (*refractv1.Task, error)
	List     func(*refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error)
	Get      func() (*refractv1.Task, error) // It answers CancelTask, too.
	Explain  func(*refractv1.ExplainTaskRequest) (*refractv1.Explanation, error)
	Upload   func(UploadStream) error
	Watch    []func(WatchStream) error // One for each call. The last one answers further calls.
	WatchAll func(*refractv1.WatchTasksRequest, WatchAllStream) error
	Models   func(*refractv1.ListModelsRequest) (*refractv1.ListModelsResponse, error)
	Model    func(*refractv1.GetModelRequest) (*refractv1.Model, error)

	mu             sync.Mutex
	calls          map[string]int
	afterRevisions []*int64
	authorizations []string
}

// Start serves s on a port of this machine until the test ends, and returns s.
func Start(t *testing.T, s *Service, options ...grpc.ServerOption) *Service {
	t.Helper()
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(t, lis, options...)
	s.Address = lis.Addr().String()
	return s
}

// Serve serves s on a listener until the test ends.
func (s *Service) Serve(t *testing.T, lis net.Listener, options ...grpc.ServerOption) {
	t.Helper()
	server := grpc.NewServer(options...)
	refractv1.RegisterTaskServiceServer(server, s)
	refractv1.RegisterModelServiceServer(server, s)
	if s.Webhooks != nil {
		refractv1.RegisterWebhookServiceServer(server, s.Webhooks)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the service ended: %v", err)
		}
	})
}

// Calls returns how many calls there were, by the name of their method. UploadSource is not counted.
func (s *Service) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// AfterRevisions returns the after_revision of each WatchTask, in the order of the calls.
func (s *Service) AfterRevisions() []*int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.afterRevisions)
}

// Authorizations returns the authorization headers of all calls, in their order.
func (s *Service) Authorizations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.authorizations)
}

// record notes a call and returns how many of its method there were, with this one.
func (s *Service) record(ctx context.Context, method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[method]++
	s.authorizations = append(s.authorizations, metadata.ValueFromIncomingContext(ctx, "authorization")...)
	return s.calls[method]
}

// SubmitTask answers as Submit does.
func (s *Service) SubmitTask(ctx context.Context, req *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error) {
	s.record(ctx, "SubmitTask")
	task, err := s.Submit(req)
	return &refractv1.SubmitTaskResponse{Task: task}, err
}

// BatchSubmitTasks answers as Batch does.
func (s *Service) BatchSubmitTasks(ctx context.Context, req *refractv1.BatchSubmitTasksRequest) (*refractv1.BatchSubmitTasksResponse, error) {
	s.record(ctx, "BatchSubmitTasks")
	return s.Batch(req)
}

// RetryTask answers as Retry does.
func (s *Service) RetryTask(ctx context.Context, req *refractv1.RetryTaskRequest) (*refractv1.RetryTaskResponse, error) {
	s.record(ctx, "RetryTask")
	task, err := s.Retry(req)
	return &refractv1.RetryTaskResponse{Task: task}, err
}

// CancelTask answers as Get does.
func (s *Service) CancelTask(ctx context.Context, _ *refractv1.CancelTaskRequest) (*refractv1.CancelTaskResponse, error) {
	s.record(ctx, "CancelTask")
	task, err := s.Get()
	return &refractv1.CancelTaskResponse{Task: task}, err
}

// GetTask answers as Get does.
func (s *Service) GetTask(ctx context.Context, _ *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
	s.record(ctx, "GetTask")
	task, err := s.Get()
	return &refractv1.GetTaskResponse{Task: task}, err
}

// ExplainTask answers as Explain does.
func (s *Service) ExplainTask(ctx context.Context, req *refractv1.ExplainTaskRequest) (*refractv1.ExplainTaskResponse, error) {
	s.record(ctx, "ExplainTask")
	explanation, err := s.Explain(req)
	return &refractv1.ExplainTaskResponse{Explanation: explanation}, err
}

// ListTasks answers as List does.
func (s *Service) ListTasks(ctx context.Context, req *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
	s.record(ctx, "ListTasks")
	return s.List(req)
}

// ListModels answers as Models does.
func (s *Service) ListModels(ctx context.Context, req *refractv1.ListModelsRequest) (*refractv1.ListModelsResponse, error) {
	s.record(ctx, "ListModels")
	return s.Models(req)
}

// GetModel answers as Model does.
func (s *Service) GetModel(ctx context.Context, req *refractv1.GetModelRequest) (*refractv1.GetModelResponse, error) {
	s.record(ctx, "GetModel")
	model, err := s.Model(req)
	return &refractv1.GetModelResponse{Model: model}, err
}

// UploadSource answers as Upload does.
func (s *Service) UploadSource(stream UploadStream) error { return s.Upload(stream) }

// WatchTask answers as the function of Watch for this call does.
func (s *Service) WatchTask(req *refractv1.WatchTaskRequest, stream WatchStream) error {
	n := s.record(stream.Context(), "WatchTask")
	s.mu.Lock()
	s.afterRevisions = append(s.afterRevisions, req.AfterRevision)
	s.mu.Unlock()
	return s.Watch[min(n, len(s.Watch))-1](stream)
}

// WatchTasks answers as WatchAll does.
func (s *Service) WatchTasks(req *refractv1.WatchTasksRequest, stream WatchAllStream) error {
	s.record(stream.Context(), "WatchTasks")
	return s.WatchAll(req, stream)
}
