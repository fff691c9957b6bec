package bench_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service streams what is put into the channel of a task, and drains when drain is closed.
type service struct {
	refractv1.UnimplementedTaskServiceServer
	drained chan struct{}

	mu    sync.Mutex
	tasks map[string]chan string
}

func (s *service) task(id string) chan string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == nil {
		s.tasks[id] = make(chan string, 1000)
	}
	return s.tasks[id]
}

func (s *service) WatchTask(req *refractv1.WatchTaskRequest, stream grpc.ServerStreamingServer[refractv1.WatchTaskResponse]) error {
	if err := stream.Send(&refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Task{Task: &refractv1.Task{Id: req.GetTaskId()}}}); err != nil {
		return err
	}
	for {
		select {
		case message := <-s.task(req.GetTaskId()):
			if err := stream.Send(&refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Event{Event: &refractv1.TaskEvent{Message: message}}}); err != nil {
				return err
			}
		case <-s.drained:
			return status.Error(codes.Unavailable, "draining")
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func TestWatchers_MeasureWhatArrivesAndHowStreamsEnd(t *testing.T) {
	t.Parallel()
	s := &service{drained: make(chan struct{}), tasks: make(map[string]chan string)}
	lis, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Listening on this machine does not wait.
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	refractv1.RegisterTaskServiceServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	defer func() { server.Stop(); <-served }()

	w, opened, err := bench.OpenWatchers(t.Context(), bench.WatchConfig{
		Address: lis.Addr().String(), Connections: 2, Tasks: []string{"a", "b", "c", "d", "e"}, Openers: 3,
	})
	if err != nil || opened <= 0 {
		t.Fatalf("opened in %s, %v", opened, err)
	}
	change := func(_ context.Context, tasks []string, message string) error {
		for _, id := range tasks {
			s.task(id) <- message
		}
		return nil
	}
	f, err := w.FanOut(t.Context(), change, 300, 100*time.Millisecond)
	if err != nil || f.Committed == 0 || f.Received != f.Committed || f.P50 <= 0 || f.P99 < f.P50 || f.Max < f.P99 || f.Commit.P50 <= 0 || f.Commit.P50 > f.P99 {
		t.Errorf("fan-out %+v, %v", f, err)
	}
	errDown := errors.New("down")
	if _, err := w.FanOut(t.Context(), func(context.Context, []string, string) error { return errDown }, 300, time.Minute); !errors.Is(err, errDown) {
		t.Errorf("changes that fail: %v, want %v", err, errDown)
	}
	took, err := w.Drain(t.Context(), func() error { close(s.drained); return nil })
	if err != nil || took <= 0 {
		t.Errorf("drained in %s, %v", took, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
