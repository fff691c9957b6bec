package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// errStopped ends a watch whose caller has left the loop.
var errStopped = errors.New("the caller stopped")

// Watch follows a task until it is terminal. It yields the task as it is and then each later event, or with AfterRevision the
// events after a revision alone. Each revision is yielded once and in order, however often the connection is lost.
//
// The last pair may be an error: that of the context, a refusal such as NOT_FOUND, or five minutes without a message from the
// service. The loop body may take as long as it likes.
//
// The options that matter are AfterRevision and OnRetry.
func (c *Client) Watch(ctx context.Context, taskID string, options ...CallOption) iter.Seq2[*refractv1.WatchTaskResponse, error] {
	return func(yield func(*refractv1.WatchTaskResponse, error) bool) {
		s := callSettingsOf(options)
		_, err := follow(ctx, c.tasks, taskID, s, func(m *refractv1.WatchTaskResponse) error {
			if !yield(m, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// Wait waits until a task is terminal and returns it. A task that FAILED or was CANCELED is no error: the state says how it
// ended, and the failure why.
//
// Wait resumes by itself like Watch, and returns the errors of Watch. The options that matter are OnUpdate, AfterRevision and
// OnRetry.
func (c *Client) Wait(ctx context.Context, taskID string, options ...CallOption) (*refractv1.Task, error) {
	s := callSettingsOf(options)
	var failed error
	t, err := follow(ctx, c.tasks, taskID, s, func(m *refractv1.WatchTaskResponse) error {
		if failed = s.update(m); failed != nil {
			return errStopped
		}
		return nil
	})
	if failed != nil {
		return nil, failed
	}
	return t, err
}

// follow delivers the changes of a task until it is terminal, and returns it as it is then.
func follow(ctx context.Context, tasks refractv1.TaskServiceClient, taskID string, s callSettings,
	deliver func(*refractv1.WatchTaskResponse) error,
) (t *refractv1.Task, err error) {
	f := follower{tasks: tasks, taskID: taskID, after: s.after, deliver: deliver}
	err = persist(ctx, s.retry, func() (over, alive bool, err error) {
		t, alive, err = f.watch(ctx)
		return t != nil, alive, err
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("watch task %s: %w", taskID, err)
	}
	return t, err
}

// follower follows one task.
type follower struct {
	tasks   refractv1.TaskServiceClient
	taskID  string
	after   *int64 // The newest revision delivered. Nil before the first.
	deliver func(*refractv1.WatchTaskResponse) error
}

// watch delivers one stream to its end. It returns the task once it is terminal and every revision was delivered, and otherwise
// whether the service gave any sign of life.
func (f *follower) watch(ctx context.Context) (t *refractv1.Task, alive bool, err error) {
	ended, alive, err := f.stream(ctx)
	if !ended {
		return nil, alive, err
	}
	resp, err := f.tasks.GetTask(ctx, &refractv1.GetTaskRequest{TaskId: f.taskID})
	if err != nil {
		return nil, alive, err
	}
	t = resp.GetTask()
	// The task may have been retried since its stream ended. Then there are more events.
	if !Terminal(t.GetState()) || (f.after != nil && t.GetRevision() > *f.after) {
		return nil, true, nil
	}
	return t, true, nil
}

// stream delivers the messages of one stream and keeps the newest revision. It reports whether the service ended the stream,
// because the task is terminal.
func (f *follower) stream(ctx context.Context) (ended, alive bool, err error) {
	alive, err = receive(ctx, func(ctx context.Context) (func() (*refractv1.WatchTaskResponse, error), error) {
		stream, err := f.tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: f.taskID, AfterRevision: f.after})
		if err != nil {
			return nil, err
		}
		return stream.Recv, nil
	}, f.message)
	if errors.Is(err, io.EOF) {
		return true, alive, nil
	}
	return false, alive, err
}

// message delivers what is new.
func (f *follower) message(m *refractv1.WatchTaskResponse) error {
	var revision int64
	switch {
	case m.GetTask() != nil:
		revision = m.GetTask().GetRevision()
	case m.GetEvent() != nil:
		revision = m.GetEvent().GetRevision()
	default: // A bookmark, or a message of a later release.
		return nil
	}
	if f.after != nil && revision <= *f.after {
		return nil
	}
	f.after = &revision
	return f.deliver(m)
}

// WatchAll follows all tasks of the tenant that match a request, until ctx ends. It yields each event once, those of a task in
// order, and bookmarks: messages without an event, of which the first is one and a quiet stream has one at least every 15
// seconds.
//
// Every message carries a resume token. A caller who stores the newest one, with what the message made it do, continues
// exactly there by passing it in the request of another call, at any replica. WatchAll itself resumes after the newest message
// that it yielded. It leaves the request unchanged.
//
// The last pair is an error: that of the context, OUT_OF_RANGE for a token older than what is kept, another refusal, or five
// minutes without a message from the service. The option that matters is OnRetry.
func (c *Client) WatchAll(ctx context.Context, req *refractv1.WatchTasksRequest, options ...CallOption) iter.Seq2[*refractv1.WatchTasksResponse, error] {
	return func(yield func(*refractv1.WatchTasksResponse, error) bool) {
		s := callSettingsOf(options)
		next := proto.CloneOf(req)
		err := persist(ctx, s.retry, func() (over, alive bool, err error) {
			alive, err = receive(ctx, func(ctx context.Context) (func() (*refractv1.WatchTasksResponse, error), error) {
				stream, err := c.tasks.WatchTasks(ctx, next)
				if err != nil {
					return nil, err
				}
				return stream.Recv, nil
			}, func(m *refractv1.WatchTasksResponse) error {
				if !yield(m, nil) {
					return errStopped
				}
				next.ResumeToken = m.GetResumeToken()
				return nil
			})
			if errors.Is(err, io.EOF) {
				err = nil // The stream has no end of its own, so another one follows.
			}
			return false, alive, err
		})
		if errors.Is(err, errStopped) {
			return
		}
		if ctx.Err() == nil {
			err = fmt.Errorf("watch tasks: %w", err)
		}
		yield(nil, err)
	}
}

// receive opens a stream and passes its messages on until it ends or breaks. It cuts a stream that is silent for too long; the
// time that handle takes does not count. It reports whether any message came.
func receive[M any](ctx context.Context, open func(context.Context) (func() (M, error), error), handle func(M) error) (alive bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dead := time.AfterFunc(streamTimeout, cancel)
	defer dead.Stop()
	recv, err := open(ctx)
	if err != nil {
		return false, err
	}
	for {
		m, err := recv()
		if err != nil {
			return alive, err
		}
		alive = true
		dead.Stop()
		if err := handle(m); err != nil {
			return alive, err
		}
		dead.Reset(streamTimeout)
	}
}
