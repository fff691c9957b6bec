package api

import (
	"google.golang.org/grpc"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// WatchTask streams the events of a task until it is terminal.
func (s *TaskService) WatchTask(req *refractv1.WatchTaskRequest, stream grpc.ServerStreamingServer[refractv1.WatchTaskResponse]) error {
	ctx := stream.Context()
	t, err := s.tasks.Task(ctx, tenantOf(ctx), taskID(req))
	if err != nil {
		return err
	}
	after := req.GetAfterRevision()
	if req.AfterRevision == nil {
		after = t.Revision
		if err := stream.Send(&refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Task{Task: s.task(&t)}}); err != nil {
			return err
		}
	}
	return s.hub.Watch(ctx, t.ID, after, func(u watch.Update) error {
		m, err := s.update(stream, t.ID, u)
		if err != nil {
			return err
		}
		return stream.Send(m)
	})
}

// update converts one message of a watch.
func (s *TaskService) update(stream grpc.ServerStream, id task.ID, u watch.Update) (*refractv1.WatchTaskResponse, error) {
	if u.Event == nil {
		bookmark := &refractv1.WatchBookmark{Revision: u.Bookmark}
		return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Bookmark{Bookmark: bookmark}}, nil
	}
	var t task.Task
	if u.Event.State == task.Succeeded { // Only this event needs more than itself: the outputs.
		var err error
		if t, err = s.tasks.Task(stream.Context(), tenantOf(stream.Context()), id); err != nil {
			return nil, err
		}
	}
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Event{Event: s.event(u.Event, &t)}}, nil
}
