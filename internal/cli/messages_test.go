package cli

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

const (
	queued     = refractv1.TaskState_TASK_STATE_QUEUED
	submitting = refractv1.TaskState_TASK_STATE_SUBMITTING
	running    = refractv1.TaskState_TASK_STATE_RUNNING
	saving     = refractv1.TaskState_TASK_STATE_SAVING
	succeeded  = refractv1.TaskState_TASK_STATE_SUCCEEDED
	failed     = refractv1.TaskState_TASK_STATE_FAILED
	canceled   = refractv1.TaskState_TASK_STATE_CANCELED
)

// begun is when tasks of tests were submitted.
var begun = time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)

func newTask(revision int64, state refractv1.TaskState) *refractv1.Task {
	return &refractv1.Task{
		Id: testID, RequestId: "order-1", State: state, Revision: revision, Prompt: "a neon city", Provider: "kie", MaxAttempts: 1,
		CreateTime: timestamppb.New(begun), UpdateTime: timestamppb.New(begun.Add(time.Duration(revision-1) * time.Second)),
		TypicalDuration: durationpb.New(time.Minute),
	}
}

func newEvent(revision int64, state refractv1.TaskState, message string) *refractv1.TaskEvent {
	return &refractv1.TaskEvent{
		Revision: revision, State: state, Message: message,
		CreateTime: timestamppb.New(begun.Add(time.Duration(revision-1) * time.Second)),
	}
}

func event(e *refractv1.TaskEvent) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Event{Event: e}}
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

// errDraining is what the streams of a replica that shuts down end with.
var errDraining = status.Error(codes.Unavailable, "draining")
