package clienttest

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

const (
	// TaskID is the id of every task and source here.
	TaskID = "01990000-0000-7000-8000-000000000001"
	// Token is an API token that must show up nowhere but in authorization headers.
	Token = "refract_sesame-open-0123456789" //nolint:gosec // It opens nothing.
)

// The states of tasks, by their short names.
const (
	Queued     = refractv1.TaskState_TASK_STATE_QUEUED
	Submitting = refractv1.TaskState_TASK_STATE_SUBMITTING
	Running    = refractv1.TaskState_TASK_STATE_RUNNING
	Saving     = refractv1.TaskState_TASK_STATE_SAVING
	Succeeded  = refractv1.TaskState_TASK_STATE_SUCCEEDED
	Failed     = refractv1.TaskState_TASK_STATE_FAILED
	Canceled   = refractv1.TaskState_TASK_STATE_CANCELED
)

// CreateTime is when the tasks here were submitted.
var CreateTime = time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)

// ErrDraining is the status with which a replica that shuts down ends its streams.
var ErrDraining = status.Error(codes.Unavailable, "draining")

// updateTime is when a task got a revision: a second after the one before.
func updateTime(revision int64) *timestamppb.Timestamp {
	return timestamppb.New(CreateTime.Add(time.Duration(revision-1) * time.Second))
}

// NewTask returns a task.
func NewTask(revision int64, state refractv1.TaskState) *refractv1.Task {
	return &refractv1.Task{
		Id: TaskID, RequestId: "order-1", State: state, Revision: revision, Prompt: "a neon city", Provider: "kie", MaxAttempts: 1,
		CreateTime: timestamppb.New(CreateTime), UpdateTime: updateTime(revision), TypicalDuration: durationpb.New(time.Minute),
	}
}

// NewEvent returns an event of the task.
func NewEvent(revision int64, state refractv1.TaskState, message string) *refractv1.TaskEvent {
	return &refractv1.TaskEvent{Revision: revision, State: state, Message: message, CreateTime: updateTime(revision)}
}

// Event returns the message of a watch that carries NewEvent.
func Event(revision int64, state refractv1.TaskState, message string) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Event{Event: NewEvent(revision, state, message)}}
}

// Snapshot returns the message of a watch that carries a whole task.
func Snapshot(t *refractv1.Task) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Task{Task: t}}
}

// Bookmark returns the message of a watch that carries no change.
func Bookmark(revision int64) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Bookmark{Bookmark: &refractv1.WatchBookmark{Revision: revision}}}
}

// Sends returns an answer to WatchTask that sends messages and then ends with err.
func Sends(err error, messages ...*refractv1.WatchTaskResponse) func(WatchStream) error {
	return func(stream WatchStream) error {
		for _, m := range messages {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return err
	}
}

// Refused returns a status with details.
func Refused(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		return err
	}
	return st.Err()
}

// Reason returns the detail that carries a reason.
func Reason(name string) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Domain: "refract", Reason: name}
}
