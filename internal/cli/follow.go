package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// follow shows a task's changes until it is terminal, and returns it as it is then. after is the newest
// revision already seen, or nil to begin with the task as it is.
//
// Each revision is shown once and in order, however often the connection is lost: follow resumes after the
// newest revision it has seen. It gives up when ctx ends, when the service refuses, or after five minutes
// without a word from it.
func follow(ctx context.Context, client refractv1.TaskServiceClient, taskID string, after *int64, p *progress) (*refractv1.Task, error) {
	return newFollower(client, taskID, after, p).run(ctx)
}

const (
	silence  = 45 * time.Second // After which a stream is taken for dead: the service sends a bookmark every 15 seconds.
	patience = 5 * time.Minute  // How long to try without a word from the service.
)

// follower follows one task.
type follower struct {
	client refractv1.TaskServiceClient
	taskID string
	after  *int64 // The newest revision shown.
	show   func(*refractv1.WatchTaskResponse) error
	note   func(string)
}

func newFollower(client refractv1.TaskServiceClient, taskID string, after *int64, p *progress) *follower {
	if after != nil {
		after = new(*after)
	}
	return &follower{
		client: client, taskID: taskID, after: after, show: p.show, note: p.note,
	}
}

func (f *follower) run(ctx context.Context) (t *refractv1.Task, err error) {
	err = persist(ctx, patience, f.note, func() (over, alive bool, err error) {
		t, alive, err = f.watch(ctx)
		return t != nil, alive, err
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("watch task %s: %w", f.taskID, err)
	}
	return t, err
}

// persist calls stream, which shows one stream to its end, until that is over: its connections get lost. It gives up
// when ctx ends, when the service refuses, or after patience without a sign of life from it.
func persist(ctx context.Context, patience time.Duration, note func(string), stream func() (over, alive bool, err error)) error {
	pause := newPause()
	heard := time.Now()
	for {
		over, alive, err := stream()
		switch {
		case over:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !transient(err):
			return err
		}
		if alive {
			pause.Reset()
			heard = time.Now()
		}
		if err != nil {
			if time.Since(heard) >= patience {
				return fmt.Errorf("no word from the service for %s: %w", patience, err)
			}
			note("connection lost, resuming")
		}
		asked := min(detailsOf(statusOf(err)).retry, maxAsked)
		if err := sleep(ctx, max(pause.NextBackOff(), asked)); err != nil {
			return err
		}
	}
}

// watch shows one stream to its end. It returns the task once it is terminal and every revision was shown, and
// otherwise whether the service gave any sign of life.
func (f *follower) watch(ctx context.Context) (t *refractv1.Task, alive bool, err error) {
	alive, err = f.stream(ctx)
	if err != nil {
		return nil, alive, err
	}
	resp, err := f.client.GetTask(ctx, &refractv1.GetTaskRequest{TaskId: f.taskID})
	if err != nil {
		return nil, alive, err
	}
	t = resp.GetTask()
	// The task may have been retried since its stream ended; then there is more to show.
	if !terminal(t.GetState()) || (f.after != nil && t.GetRevision() > *f.after) {
		return nil, true, nil
	}
	return t, true, nil
}

// stream shows what one stream carries and remembers how far it got.
func (f *follower) stream(ctx context.Context) (alive bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dead := time.AfterFunc(silence, cancel)
	defer dead.Stop()
	stream, err := f.client.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: f.taskID, AfterRevision: f.after})
	if err != nil {
		return false, err
	}
	for {
		u, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return alive, nil
		}
		if err != nil {
			return alive, err
		}
		alive = true
		dead.Reset(silence)
		if err := f.update(u); err != nil {
			return alive, err
		}
	}
}

// update shows what is new.
func (f *follower) update(u *refractv1.WatchTaskResponse) error {
	var revision int64
	switch {
	case u.GetTask() != nil:
		revision = u.GetTask().GetRevision()
	case u.GetEvent() != nil:
		revision = u.GetEvent().GetRevision()
	default: // A bookmark, or something of a later release.
		return nil
	}
	if f.after != nil && revision <= *f.after {
		return nil
	}
	f.after = &revision
	return f.show(u)
}

// maxAsked bounds how long a service can make us wait before the next try.
const maxAsked = 30 * time.Second

// newPause returns the pauses between tries, which grow and vary.
func newPause() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	b.MaxInterval = 5 * time.Second
	return b
}

// sleep waits, or returns the context's error when it ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
