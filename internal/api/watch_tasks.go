package api

import (
	"errors"
	"slices"

	"google.golang.org/grpc"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// WatchTasks streams the events of all tasks of the tenant that match.
func (s *TaskService) WatchTasks(req *refractv1.WatchTasksRequest, stream grpc.ServerStreamingServer[refractv1.WatchTasksResponse]) error {
	tenant := tenantOf(stream.Context())
	var after *task.Position
	if token := req.GetResumeToken(); token != "" {
		p, err := s.tokens.Parse(tenant, token)
		if err != nil {
			return &lifecycle.FieldError{Field: "resume_token", Message: err.Error()}
		}
		after = &p
	}
	err := s.hub.Follow(stream.Context(), watch.Following{
		Tenant: tenant, After: after, Match: matching(req),
		Send: func(e *task.Entry, p task.Position) error {
			m := &refractv1.WatchTasksResponse{ResumeToken: s.tokens.Make(tenant, p)}
			if e != nil {
				m.Event = &refractv1.WatchedTaskEvent{
					TaskId: string(e.Task), RequestId: e.RequestID, Labels: e.Labels,
					Event: s.event(&e.Event, &task.Task{ID: e.Task, Outputs: e.Outputs}),
				}
			}
			return stream.Send(m)
		},
	})
	if removed, ok := errors.AsType[*watch.RemovedError](err); ok {
		return &oldestTokenError{token: s.tokens.Make(tenant, removed.Oldest), err: err}
	}
	return err
}

// oldestTokenError says that a token is older than what is kept, and which one is the oldest that is not.
type oldestTokenError struct {
	token string
	err   error
}

func (e *oldestTokenError) Error() string {
	return "older events were removed: list the tasks anew, and resume from oldest_resume_token or from now"
}

func (e *oldestTokenError) Unwrap() error { return e.err }

// matching returns what chooses the entries that a request asks for, or nil for all.
func matching(req *refractv1.WatchTasksRequest) func(*task.Entry) bool {
	states, labels := statesOf(req.GetStates()), req.GetLabels()
	if len(states) == 0 && len(labels) == 0 {
		return nil
	}
	return func(e *task.Entry) bool {
		if len(states) > 0 && !slices.Contains(states, e.Event.State) {
			return false
		}
		for key, value := range labels {
			if got, ok := e.Labels[key]; !ok || got != value {
				return false
			}
		}
		return true
	}
}
