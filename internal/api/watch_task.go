package api

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// watchingKey is the metadata that says that a watch is taken, where there is no message yet.
const watchingKey = "x-watching"

// WatchTask streams the events of a task until it is terminal.
func (s *TaskService) WatchTask(req *refractv1.WatchTaskRequest, stream grpc.ServerStreamingServer[refractv1.WatchTaskResponse]) error {
	ctx, id := stream.Context(), taskID(req)
	after, err := s.begin(req, stream)
	if err != nil {
		return err
	}
	var waits func() error
	if req.AfterRevision != nil { // Nothing was sent yet, and the caller is to know that the watch is taken.
		waits = func() error { return stream.SendHeader(metadata.Pairs(watchingKey, "1")) }
	}
	return s.hub.WatchFrom(ctx, id, after, waits, func(u watch.Update) error {
		return stream.Send(s.update(id, u))
	})
}

// begin returns the revision after which events are to be sent. Where the request names none it sends the task as it is.
func (s *TaskService) begin(req *refractv1.WatchTaskRequest, stream grpc.ServerStreamingServer[refractv1.WatchTaskResponse]) (after int64, err error) {
	ctx, tenant, id := stream.Context(), tenantOf(stream.Context()), taskID(req)
	if req.AfterRevision != nil {
		err := s.hub.Read(ctx, func() error { return s.tasks.HasTask(ctx, tenant, id) })
		return req.GetAfterRevision(), err
	}
	var t task.Task
	err = s.hub.Read(ctx, func() (err error) {
		t, err = s.tasks.Task(ctx, tenant, id)
		return err
	})
	if err != nil {
		return 0, err
	}
	return t.Revision, stream.Send(&refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Task{Task: s.task(&t)}})
}

// update converts one message of a watch.
func (s *TaskService) update(id task.ID, u watch.Update) *refractv1.WatchTaskResponse {
	if u.Event == nil {
		bookmark := &refractv1.WatchBookmark{Revision: u.Bookmark}
		return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Bookmark{Bookmark: bookmark}}
	}
	event := s.event(u.Event, &task.Task{ID: id, Outputs: u.Outputs})
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Event{Event: event}}
}
