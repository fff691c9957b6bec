package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
	"google.golang.org/protobuf/testing/protocmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

// collect returns the messages of a watch in short form, such as "event 2 RUNNING", and its error.
func collect(watch iter.Seq2[*refractv1.WatchTaskResponse, error]) (messages []string, err error) {
	for m, err := range watch {
		if err != nil {
			return messages, err
		}
		messages = append(messages, short(m))
	}
	return messages, nil
}

func short(m *refractv1.WatchTaskResponse) string {
	kind, revision, state := "event", m.GetEvent().GetRevision(), m.GetEvent().GetState()
	if t := m.GetTask(); t != nil {
		kind, revision, state = "task", t.GetRevision(), t.GetState()
	}
	return fmt.Sprintf("%s %d %s", kind, revision, strings.TrimPrefix(state.String(), "TASK_STATE_"))
}

func TestWatch_ResumesAfterTheNewestRevisionAndYieldsEachOnce(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{
		Get: func() (*refractv1.Task, error) { return clienttest.NewTask(4, clienttest.Succeeded), nil },
		Watch: []func(clienttest.WatchStream) error{
			clienttest.Sends(clienttest.ErrDraining, event(1, clienttest.Queued), event(2, clienttest.Queued), clienttest.Bookmark(2)),
			clienttest.Sends(clienttest.ErrDraining),
			// A replica that sends more than was requested.
			clienttest.Sends(status.Error(codes.Internal, "stream terminated by RST_STREAM"), event(2, clienttest.Queued), event(3, clienttest.Running)),
			clienttest.Sends(nil, event(4, clienttest.Succeeded)),
		},
	})
	var lost []codes.Code
	watch := dial(t, r).Watch(t.Context(), clienttest.TaskID, AfterRevision(0), OnRetry(func(err error) { lost = append(lost, status.Code(err)) }))
	got, err := collect(watch)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"event 1 QUEUED", "event 2 QUEUED", "event 3 RUNNING", "event 4 SUCCEEDED"}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]*int64{new(int64(0)), new(int64(2)), new(int64(2)), new(int64(3))}, r.AfterRevisions()); diff != "" {
		t.Errorf("after_revision of the calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]codes.Code{codes.Unavailable, codes.Unavailable, codes.Internal}, lost); diff != "" {
		t.Errorf("interruptions (-want +got):\n%s", diff)
	}
	// The same sequence can be read again: it begins anew.
	r.Watch = []func(clienttest.WatchStream) error{clienttest.Sends(nil, event(4, clienttest.Succeeded))}
	if got, err := collect(watch); err != nil || len(got) != 1 || *r.AfterRevisions()[4] != 0 {
		t.Errorf("the second reading: got %q, %v", got, err)
	}
}

func TestWatch_BeginsWithTheTaskAndResumesAfterIt(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{
		Get: func() (*refractv1.Task, error) { return clienttest.NewTask(5, clienttest.Failed), nil },
		Watch: []func(clienttest.WatchStream) error{
			clienttest.Sends(clienttest.ErrDraining, clienttest.Snapshot(clienttest.NewTask(4, clienttest.Running))),
			clienttest.Sends(nil, event(5, clienttest.Failed)),
		},
	})
	got, err := collect(dial(t, r).Watch(t.Context(), clienttest.TaskID))
	if diff := cmp.Diff([]string{"task 4 RUNNING", "event 5 FAILED"}, got); diff != "" || err != nil {
		t.Errorf("error %v, messages (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]*int64{nil, new(int64(4))}, r.AfterRevisions()); diff != "" {
		t.Errorf("after_revision of the calls (-want +got):\n%s", diff)
	}
}

func TestWatch_EndsWithTheLoop(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	r := clienttest.Start(t, &clienttest.Service{Watch: []func(clienttest.WatchStream) error{func(stream clienttest.WatchStream) error {
		_ = stream.Send(event(1, clienttest.Queued))
		<-stream.Context().Done()
		close(left)
		return nil
	}}})
	for range dial(t, r).Watch(t.Context(), clienttest.TaskID) {
		break
	}
	<-left // The stream was canceled.
	if r.Calls()["WatchTask"] != 1 || r.Calls()["GetTask"] != 0 {
		t.Errorf("calls: %v", r.Calls())
	}
}

func TestWatch_EndsWhenTheServiceRefuses(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Watch: []func(clienttest.WatchStream) error{clienttest.Sends(status.Error(codes.NotFound, "no such task"))}})
	_, err := collect(dial(t, r).Watch(t.Context(), clienttest.TaskID))
	if status.Code(err) != codes.NotFound || r.Calls()["WatchTask"] != 1 {
		t.Errorf("got %v after %d calls", err, r.Calls()["WatchTask"])
	}
}

func TestWatch_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := clienttest.Start(t, &clienttest.Service{Watch: []func(clienttest.WatchStream) error{func(stream clienttest.WatchStream) error {
		cancel()
		<-stream.Context().Done()
		return nil
	}}})
	_, err := collect(dial(t, r).Watch(ctx, clienttest.TaskID, OnRetry(func(err error) { t.Errorf("taken for an interruption: %v", err) })))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWait_GoesOnWhenTheTaskWasRetriedMeanwhile(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{
		Watch: []func(clienttest.WatchStream) error{
			clienttest.Sends(nil, event(1, clienttest.Failed)),
			clienttest.Sends(nil, event(2, clienttest.Queued), event(3, clienttest.Failed)),
		},
		Get: func() (*refractv1.Task, error) { return clienttest.NewTask(3, clienttest.Failed), nil },
	})
	var got []string
	task, err := dial(t, r).Wait(t.Context(), clienttest.TaskID, AfterRevision(0), OnUpdate(func(m *refractv1.WatchTaskResponse) error {
		got = append(got, short(m))
		return nil
	}))
	if err != nil || task.GetRevision() != 3 {
		t.Fatalf("got %v, %v", task, err)
	}
	if diff := cmp.Diff([]string{"event 1 FAILED", "event 2 QUEUED", "event 3 FAILED"}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestWait_EndsWithAnErrorOfOnUpdate(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Watch: []func(clienttest.WatchStream) error{clienttest.Sends(nil, event(1, clienttest.Queued), event(2, clienttest.Failed))}})
	want := status.Error(codes.Unavailable, "the caller's own")
	_, err := dial(t, r).Wait(t.Context(), clienttest.TaskID, OnUpdate(func(*refractv1.WatchTaskResponse) error { return want }))
	if !errors.Is(err, want) || r.Calls()["WatchTask"] != 1 {
		t.Errorf("got %v after %d streams", err, r.Calls()["WatchTask"])
	}
}

// inMemory returns a client of a remote without a socket, which would let time pass while something is on its way.
func inMemory(t *testing.T, r *clienttest.Service) *Client {
	t.Helper()
	lis := bufconn.Listen(1 << 16)
	r.Serve(t, lis)
	conn, err := grpc.NewClient("passthrough:remote", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return New(conn)
}

func TestWatch_CutsASilentStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &clienttest.Service{
			Get: func() (*refractv1.Task, error) { return clienttest.NewTask(2, clienttest.Failed), nil },
			Watch: []func(clienttest.WatchStream) error{
				func(stream clienttest.WatchStream) error {
					_ = stream.Send(event(1, clienttest.Queued))
					<-stream.Context().Done() // As a connection that a proxy forgot.
					return nil
				},
				clienttest.Sends(nil, event(2, clienttest.Failed)),
			},
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*streamTimeout)
		defer cancel()
		if _, err := collect(inMemory(t, r).Watch(ctx, clienttest.TaskID, AfterRevision(0))); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]*int64{new(int64(0)), new(int64(1))}, r.AfterRevisions()); diff != "" {
			t.Errorf("after_revision of the calls (-want +got):\n%s", diff)
		}
		if took := time.Since(start); took < streamTimeout || took > streamTimeout+time.Second {
			t.Errorf("the stream was cut after %s, want %s of silence", took, streamTimeout)
		}
	})
}

func TestWatch_DoesNotTakeASlowLoopForSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &clienttest.Service{
			Get:   func() (*refractv1.Task, error) { return clienttest.NewTask(2, clienttest.Failed), nil },
			Watch: []func(clienttest.WatchStream) error{clienttest.Sends(nil, event(1, clienttest.Queued), event(2, clienttest.Failed))},
		}
		for _, err := range inMemory(t, r).Watch(t.Context(), clienttest.TaskID, AfterRevision(0)) {
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * streamTimeout)
		}
		if r.Calls()["WatchTask"] != 1 {
			t.Errorf("the watch took %d streams, want 1", r.Calls()["WatchTask"])
		}
	})
}

// deadConn is a connection on which every call fails at once.
type deadConn struct{}

func (deadConn) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return clienttest.ErrDraining
}

func (deadConn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, clienttest.ErrDraining
}

func TestWatch_GivesUpAfterFiveMinutesWithoutAMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := collect(New(deadConn{}).Watch(t.Context(), clienttest.TaskID))
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no message from the service for 5m0s") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took < watchTimeout || took > watchTimeout+time.Minute {
			t.Errorf("gave up after %s", took)
		}
	})
}

// change is a message of WatchTasks.
func change(token string, state refractv1.TaskState) *refractv1.WatchTasksResponse {
	return &refractv1.WatchTasksResponse{ResumeToken: token, Event: &refractv1.WatchedTaskEvent{
		TaskId: clienttest.TaskID, Event: &refractv1.TaskEvent{Revision: 3, State: state},
	}}
}

func TestWatchAll_ResumesAfterTheNewestToken(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var requests []*refractv1.WatchTasksRequest
	r := clienttest.Start(t, &clienttest.Service{WatchAll: func(req *refractv1.WatchTasksRequest, stream clienttest.WatchAllStream) error {
		requests = append(requests, req)
		switch len(requests) {
		case 1:
			_ = stream.Send(&refractv1.WatchTasksResponse{ResumeToken: "t0"})
			_ = stream.Send(change("t1", clienttest.Running))
			return clienttest.ErrDraining
		case 2:
			_ = stream.Send(change("t2", clienttest.Succeeded))
			_ = stream.Send(&refractv1.WatchTasksResponse{ResumeToken: "t3"})
			return nil // The service never ends a stream so; a proxy may.
		default:
			_ = stream.Send(change("t4", clienttest.Failed))
			<-stream.Context().Done()
			return nil
		}
	}})
	req := &refractv1.WatchTasksRequest{ResumeToken: "t", Labels: map[string]string{"film": "7"}}
	var tokens []string
	var end error
	for m, err := range dial(t, r).WatchAll(ctx, req) {
		if err != nil {
			end = err
			continue
		}
		if tokens = append(tokens, m.GetResumeToken()); m.GetResumeToken() == "t4" {
			cancel()
		}
	}
	if diff := cmp.Diff([]string{"t0", "t1", "t2", "t3", "t4"}, tokens); diff != "" || !errors.Is(end, context.Canceled) {
		t.Errorf("error %v, tokens (-want +got):\n%s", end, diff)
	}
	var want []*refractv1.WatchTasksRequest
	for _, token := range []string{"t", "t1", "t3"} {
		want = append(want, &refractv1.WatchTasksRequest{ResumeToken: token, Labels: req.GetLabels()})
	}
	if diff := cmp.Diff(want, requests, protocmp.Transform()); diff != "" || req.GetResumeToken() != "t" {
		t.Errorf("the caller's token is now %q, requests (-want +got):\n%s", req.GetResumeToken(), diff)
	}
}

func TestWatchAll_EndsWhenTheServiceRefuses(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{WatchAll: func(*refractv1.WatchTasksRequest, clienttest.WatchAllStream) error {
		return clienttest.Refused(codes.OutOfRange, "older events were removed", clienttest.Reason("REVISION_EXPIRED"))
	}})
	var errs []error
	for _, err := range dial(t, r).WatchAll(t.Context(), &refractv1.WatchTasksRequest{ResumeToken: "t"}) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || Reason(errs[0]) != "REVISION_EXPIRED" {
		t.Errorf("got %v", errs)
	}
}

// TestWatches_ALoopThatIsLeftIsNotCalledAgain leaves the loop after the context has ended in its body.
func TestWatches_ALoopThatIsLeftIsNotCalledAgain(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{
		Watch: []func(clienttest.WatchStream) error{clienttest.Sends(nil, event(1, clienttest.Queued))},
		WatchAll: func(_ *refractv1.WatchTasksRequest, stream clienttest.WatchAllStream) error {
			return stream.Send(change("t1", clienttest.Queued))
		},
	})
	c := dial(t, r)
	one, cancelOne := context.WithCancel(t.Context())
	defer cancelOne()
	for range c.Watch(one, clienttest.TaskID) {
		cancelOne()
		break
	}
	all, cancelAll := context.WithCancel(t.Context())
	defer cancelAll()
	for range c.WatchAll(all, &refractv1.WatchTasksRequest{}) {
		cancelAll()
		break
	}
}
