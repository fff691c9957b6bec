package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

// watchingAll is a service with two streams: the first is cut off, and the second goes on after it until the client is
// interrupted.
func watchingAll(t *testing.T, interrupt func()) (*clienttest.Service, *[]*refractv1.WatchTasksRequest) {
	t.Helper()
	var asked []*refractv1.WatchTasksRequest
	change := func(token string, state refractv1.TaskState, message string) *refractv1.WatchTasksResponse {
		e := clienttest.NewEvent(3, state, message)
		return &refractv1.WatchTasksResponse{ResumeToken: token, Event: &refractv1.WatchedTaskEvent{TaskId: clienttest.TaskID, Event: e}}
	}
	r := clienttest.Start(t, &clienttest.Service{
		List: func(*refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
			return &refractv1.ListTasksResponse{}, nil
		},
		WatchAll: func(req *refractv1.WatchTasksRequest, stream clienttest.WatchAllStream) error {
			asked = append(asked, req)
			if len(asked) == 1 {
				_ = stream.Send(&refractv1.WatchTasksResponse{ResumeToken: "t0"})
				_ = stream.Send(change("t1", clienttest.Running, "kie accepted\nattempt 1"))
				return clienttest.ErrDraining
			}
			_ = stream.Send(change("t2", clienttest.Succeeded, "1 output saved"))
			_ = stream.Send(&refractv1.WatchTasksResponse{ResumeToken: "t3"})
			_ = stream.Send(change("t4", clienttest.Failed, "kie failed"))
			interrupt()
			<-stream.Context().Done()
			return nil
		},
	})
	return r, &asked
}

// lines counts what was written, and calls enough after n writes.
type lines struct {
	bytes.Buffer
	enough func()
	n      int
}

func (l *lines) Write(p []byte) (int, error) {
	if l.n--; l.n == 0 {
		defer l.enough()
	}
	return l.Buffer.Write(p)
}

func TestWatchAll_FollowsEveryTaskAcrossConnections(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, asked := watchingAll(t, func() {})
	out, errs := lines{enough: cancel, n: 3}, bytes.Buffer{}
	exit := run(ctx, []string{"watch", "--state=running", "--state=failed", "--label=film=7", "--after=t", "--address=" + r.Address},
		Console{Out: &out, Err: &errs})
	want := "2026-11-05T12:00:02Z  " + clienttest.TaskID + "  RUNNING     kie accepted attempt 1\n" +
		"2026-11-05T12:00:02Z  " + clienttest.TaskID + "  SUCCEEDED   1 output saved\n" +
		"2026-11-05T12:00:02Z  " + clienttest.TaskID + "  FAILED      kie failed\n"
	if diff := cmp.Diff(want, out.String()); diff != "" || exit != 1 {
		t.Errorf("exit %d, output (-want +got):\n%s\n%s", exit, diff, errs.String())
	}
	if got := errs.String(); !strings.HasPrefix(got, "connection lost, resuming\n") || !strings.Contains(got, "`refract watch --after=t") {
		t.Errorf("remarks: %s", got)
	}
	filter := &refractv1.WatchTasksRequest{
		States: []refractv1.TaskState{clienttest.Running, clienttest.Failed}, Labels: map[string]string{"film": "7"}, ResumeToken: "t",
	}
	resumed := &refractv1.WatchTasksRequest{States: filter.States, Labels: filter.Labels, ResumeToken: "t1"}
	if diff := cmp.Diff([]*refractv1.WatchTasksRequest{filter, resumed}, *asked, protocmp.Transform()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestWatchAll_PrintsJSONLinesWithTokens(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, _ := watchingAll(t, func() {})
	out, errs := lines{enough: cancel, n: 3}, bytes.Buffer{}
	run(ctx, []string{"watch", "--json", "--address=" + r.Address}, Console{Out: &out, Err: &errs})
	var tokens []string
	for _, line := range jsonLines(t, out.String()) {
		tokens = append(tokens, line["resumeToken"].(string))
	}
	if diff := cmp.Diff([]string{"t1", "t2", "t4"}, tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
}

func TestWatchAll_PrintsWhyItIsRefused(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{
		List: func(*refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
			return &refractv1.ListTasksResponse{}, nil
		},
		WatchAll: func(*refractv1.WatchTasksRequest, clienttest.WatchAllStream) error {
			return status.Error(codes.OutOfRange, "older events were removed")
		},
	})
	for want, args := range map[string][]string{
		"older events were removed":   {"watch", "--after=t"},
		"--state=LOST is no state":    {"watch", "--state=LOST"},
		"need the id of a task":       {"watch", "--after-revision=0"},
		"need the id of a task ":      {"watch", "-o", "x"},
		"are for watching all tasks":  {"watch", clienttest.TaskID, "--after=t"},
		"are for watching all tasks,": {"watch", clienttest.TaskID, "--label=a=b"},
	} {
		exit, out, errs := command(t, r, args...)
		if exit != 1 || out != "" || !strings.Contains(errs, strings.TrimSpace(want)) {
			t.Errorf("%v: exit %d, output %q, error %q, want one with %q", args, exit, out, errs, want)
		}
	}
}
