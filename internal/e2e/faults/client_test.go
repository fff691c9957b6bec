package faults_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/faults/audit"
)

// order is a task that a run submits.
type order struct {
	tenant      string
	requestID   string
	provider    string
	prompt      string
	maxAttempts int32
	outcomes    []string // As in audit.Submit.
	own         bool     // Whether it has a webhook_uri, in a fleet with webhook endpoints.
}

// submit submits a task until it is acknowledged, with the same request id each time, as a good client does.
func (f *fleet) submit(ctx context.Context, client refractv1.TaskServiceClient, o order) (string, error) {
	req := &refractv1.SubmitTaskRequest{
		RequestId: o.requestID, Prompt: o.prompt, Provider: o.provider, MaxAttempts: o.maxAttempts,
		Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: "http://127.0.0.1:9/clip.mp4"}},
	}
	if o.own && f.hooks != nil {
		req.WebhookUri = f.ownURI(o.tenant)
	}
	ctx = f.as(ctx, o.tenant)
	for {
		call, cancel := context.WithTimeout(ctx, 20*time.Second)
		resp, err := client.SubmitTask(call, req)
		cancel()
		if err == nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.owners[resp.GetTask().GetId()] = o.tenant
			f.submits = append(f.submits, audit.Submit{RequestID: o.requestID, TaskID: resp.GetTask().GetId(), Outcomes: o.outcomes})
			return resp.GetTask().GetId(), nil
		}
		if !f.expect("submit", err) {
			return "", err
		}
		f.done.add("submits repeated", 1)
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return "", err
		}
	}
}

// A watcher opens a new stream from time to time, and leaves a task that stays RUNNING for long: it may wait for an
// unknown outcome.
const (
	streamPatience = 20 * time.Second
	watchPatience  = 45 * time.Second
)

// watch follows a task to its end, over any number of connections, or until ctx ends.
func (f *fleet) watch(ctx context.Context, client refractv1.TaskServiceClient, id string) (ended bool) {
	w := audit.Watch{TaskID: id}
	ctx = f.asOwner(ctx, id)
	began := time.Now()
	for !w.Ended && !w.Left && ctx.Err() == nil {
		err := follow(ctx, client, &w)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !f.expect("watch", err) {
			break
		}
		w.Reconnects++
		w.Left = time.Since(began) > watchPatience && runs(ctx, client, id)
		_ = pause(ctx, 50*time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watches = append(f.watches, w)
	return w.Ended
}

// runs reports whether the newest known state of a task is RUNNING.
func runs(ctx context.Context, client refractv1.TaskServiceClient, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := client.GetTask(ctx, &refractv1.GetTaskRequest{TaskId: id})
	return err == nil && resp.GetTask().GetState() == refractv1.TaskState_TASK_STATE_RUNNING
}

// follow reads one stream to its end.
func follow(ctx context.Context, client refractv1.TaskServiceClient, w *audit.Watch) error {
	ctx, cancel := context.WithTimeout(ctx, streamPatience)
	defer cancel()
	after := int64(0)
	if n := len(w.Seen); n > 0 {
		after = w.Seen[n-1].Revision
	}
	stream, err := client.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: w.TaskID, AfterRevision: &after})
	if err != nil {
		return err
	}
	for {
		update, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			w.Ended = true
			return nil
		case err != nil:
			return err
		}
		if e := update.GetEvent(); e != nil {
			w.Seen = append(w.Seen, audit.Seen{Revision: e.GetRevision(), State: strings.TrimPrefix(e.GetState().String(), "TASK_STATE_")})
		}
	}
}

// expect reports whether an error permits a retry, and records one that does not, since no outage explains it.
func (f *fleet) expect(what string, err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	default:
		f.t.Errorf("%s was answered with %v, want UNAVAILABLE during an outage", what, err)
		return false
	}
}

// pause waits, or returns the error of ctx if it ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
