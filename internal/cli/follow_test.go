package cli

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
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

// connect returns a client of the remote.
func connect(t *testing.T, r *remote) refractv1.TaskServiceClient {
	t.Helper()
	conn, err := (&clientFlags{Address: r.address}).dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return refractv1.NewTaskServiceClient(conn)
}

// plain returns a display that is no terminal, and where it writes.
func plain() (*progress, *bytes.Buffer) {
	var out bytes.Buffer
	return newProgress(Console{Out: &out, Err: &out}), &out
}

var errDraining = status.Error(codes.Unavailable, "draining")

func TestFollow_ResumesAfterTheNewestRevisionAndShowsEachOnce(t *testing.T) {
	t.Parallel()
	r := startRemote(t, &remote{
		get: func() (*refractv1.Task, error) { return newTask(6, succeeded), nil },
		watch: []func(watchStream) error{
			sends(errDraining, event(newEvent(1, queued, "submitted")), event(newEvent(2, submitting, "admitted")), bookmark(2)),
			sends(errDraining),
			// A replica that sends more than it was asked for.
			sends(status.Error(codes.Internal, "stream terminated by RST_STREAM"), event(newEvent(2, submitting, "admitted")), event(newEvent(3, running, "kie accepted attempt 1"))),
			sends(nil, event(newEvent(4, running, "half way")), event(newEvent(5, saving, "result is known")), event(newEvent(6, succeeded, "1 output saved"))),
		},
	})
	p, out := plain()
	defer p.done()
	after := int64(0)
	task, err := follow(t.Context(), connect(t, r), testID, &after, p)
	if err != nil {
		t.Fatal(err)
	}
	if task.GetRevision() != 6 || after != 0 {
		t.Errorf("got revision %d, and the caller's variable is %d", task.GetRevision(), after)
	}
	if diff := cmp.Diff([]*int64{new(int64(0)), new(int64(2)), new(int64(2)), new(int64(3))}, r.watched); diff != "" {
		t.Errorf("after_revision of the calls (-want +got):\n%s", diff)
	}
	want := `     +0.0s  QUEUED      submitted
     +1.0s  SUBMITTING  admitted
                        connection lost, resuming
                        connection lost, resuming
     +2.0s  RUNNING     kie accepted attempt 1
                        connection lost, resuming
     +3.0s  RUNNING     half way
     +4.0s  SAVING      result is known
     +5.0s  SUCCEEDED   1 output saved
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestFollow_BeginsWithTheTaskAndResumesAfterIt(t *testing.T) {
	t.Parallel()
	r := startRemote(t, &remote{
		get: func() (*refractv1.Task, error) { return newTask(5, canceled), nil },
		watch: []func(watchStream) error{
			sends(errDraining, snapshot(newTask(4, running))),
			sends(nil, event(newEvent(5, canceled, "canceled by the caller"))),
		},
	})
	p, out := plain()
	defer p.done()
	if _, err := follow(t.Context(), connect(t, r), testID, nil, p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*int64{nil, new(int64(4))}, r.watched); diff != "" {
		t.Errorf("after_revision of the calls (-want +got):\n%s", diff)
	}
	if got := out.String(); strings.Count(got, "RUNNING") != 1 || !strings.Contains(got, "+4.0s  CANCELED    canceled by the caller") {
		t.Errorf("got:\n%s", got)
	}
}

func TestFollow_GoesOnWhenTheTaskWasRetriedMeanwhile(t *testing.T) {
	t.Parallel()
	r := &remote{watch: []func(watchStream) error{
		sends(nil, event(newEvent(1, failed, "kie failed"))),
		sends(nil, event(newEvent(2, queued, "retried")), event(newEvent(3, failed, "kie failed again"))),
	}}
	r.get = func() (*refractv1.Task, error) { return newTask(3, failed), nil }
	startRemote(t, r)
	p, out := plain()
	defer p.done()
	task, err := follow(t.Context(), connect(t, r), testID, new(int64(0)), p)
	if err != nil || task.GetRevision() != 3 {
		t.Fatalf("got %v, %v", task, err)
	}
	if !strings.Contains(out.String(), "kie failed again") {
		t.Errorf("the second failure is missing:\n%s", out)
	}
}

func TestFollow_EndsWhenTheServiceRefuses(t *testing.T) {
	t.Parallel()
	r := startRemote(t, &remote{watch: []func(watchStream) error{sends(status.Error(codes.NotFound, "no such task"))}})
	p, _ := plain()
	defer p.done()
	_, err := follow(t.Context(), connect(t, r), testID, nil, p)
	if status.Code(err) != codes.NotFound || r.calls["WatchTask"] != 1 {
		t.Errorf("got %v after %d calls", err, r.calls["WatchTask"])
	}
}

func TestFollow_TakesASilentStreamForDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &remote{
			get: func() (*refractv1.Task, error) { return newTask(2, failed), nil },
			watch: []func(watchStream) error{
				func(stream watchStream) error {
					_ = stream.Send(event(newEvent(1, queued, "submitted")))
					<-stream.Context().Done() // As a connection that a proxy forgot.
					return nil
				},
				sends(nil, event(newEvent(2, failed, "refused"))),
			},
		}
		lis := bufconn.Listen(1 << 16) // A socket would let time pass while something is on its way.
		r.serve(t, lis)
		conn, err := grpc.NewClient("passthrough:remote", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		p, _ := plain()
		defer p.done()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*silence)
		defer cancel()
		if _, err := follow(ctx, refractv1.NewTaskServiceClient(conn), testID, new(int64(0)), p); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]*int64{new(int64(0)), new(int64(1))}, r.watched); diff != "" {
			t.Errorf("after_revision of the calls (-want +got):\n%s", diff)
		}
		if took := time.Since(start); took < silence || took > silence+time.Second {
			t.Errorf("the stream was taken for dead within %s, want %s of silence", took, silence)
		}
	})
}

// deadConn is a connection on which every call fails at once.
type deadConn struct{}

func (deadConn) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return errDraining
}

func (deadConn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errDraining
}

func TestFollow_GivesUpAfterFiveMinutesWithoutAWord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := plain()
		defer p.done()
		start := time.Now()
		_, err := follow(t.Context(), refractv1.NewTaskServiceClient(deadConn{}), testID, nil, p)
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no word from the service for 5m0s") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took < 5*time.Minute || took > 6*time.Minute {
			t.Errorf("gave up after %s", took)
		}
	})
}

func TestFollow_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := startRemote(t, &remote{watch: []func(watchStream) error{func(stream watchStream) error {
		cancel()
		<-stream.Context().Done()
		return nil
	}}})
	p, out := plain()
	defer p.done()
	if _, err := follow(ctx, connect(t, r), testID, nil, p); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if out.Len() > 0 {
		t.Errorf("an interruption was taken for a lost connection:\n%s", out)
	}
}
