package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

type tasksStream = grpc.ServerStreamingServer[refractv1.WatchTasksResponse]

func TestWatchTasks_FramesEveryMessageWithItsToken(t *testing.T) {
	t.Parallel()
	draining := refusal(t, codes.Unavailable, "SHUTTING_DOWN", "draining", retryAfter(time.Second))
	s := serveInternal(t, &remote{all: func(_ *refractv1.WatchTasksRequest, stream tasksStream) error {
		for _, m := range []*refractv1.WatchTasksResponse{{ResumeToken: "t0"}, {ResumeToken: "t1", Event: &refractv1.WatchedTaskEvent{
			TaskId: "t", RequestId: "r", Labels: map[string]string{"film": "7"}, Event: event(3, "two\nlines <b>").GetEvent(),
		}}} {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return draining
	}})
	const bookmark = `{"resumeToken":"t0"}`
	const change = `{"resumeToken":"t1","event":{"taskId":"t","requestId":"r","labels":{"film":"7"},"event":` + eventJSON + `}}`
	for accept, want := range map[string]string{
		"": `{"result":` + bookmark + "}\n" + `{"result":` + change + "}\n" + `{"error":` + drainingJSON + "}\n",
		"text/event-stream": "retry: 2000\n\nid: t0\nevent: bookmark\ndata: " + bookmark + "\n\n" +
			"id: t1\nevent: event\ndata: " + change + "\n\n" +
			"event: error\ndata: " + drainingJSON + "\n\n",
	} {
		a := s.do(t, http.MethodGet, "/v1/tasks:watch", nil, "Accept", accept)
		if a.status != http.StatusOK || a.body != want {
			t.Errorf("%q: answer %d\n%s\nwant 200\n%s", accept, a.status, a.body, want)
		}
	}
}

func TestWatchTasks_TakesFiltersAndResumes(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{all: func(req *refractv1.WatchTasksRequest, stream tasksStream) error {
		var said []string
		for _, state := range req.GetStates() {
			said = append(said, state.String())
		}
		for key, value := range req.GetLabels() {
			said = append(said, key+"="+value)
		}
		return stream.Send(&refractv1.WatchTasksResponse{ResumeToken: req.GetResumeToken() + "|" + strings.Join(said, ",")})
	}})
	for name, tc := range map[string]struct {
		query, lastEventID, want string
	}{
		"from now":    {"", "", "|"},
		"parameter":   {"?resume_token=abc", "", "abc|"},
		"header":      {"", "abc", "abc|"},
		"header wins": {"?resumeToken=old", "abc", "abc|"},
		"filters":     {"?states=TASK_STATE_FAILED&states=TASK_STATE_SUCCEEDED&labels[film]=7", "", "|TASK_STATE_FAILED,TASK_STATE_SUCCEEDED,film=7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, http.MethodGet, "/v1/tasks:watch"+tc.query, nil, "Accept", "text/event-stream", "Last-Event-ID", tc.lastEventID)
			if want := `{"resumeToken":"` + tc.want + `"}`; a.status != http.StatusOK || !strings.Contains(a.body, want) {
				t.Errorf("answer %d %s, want 200 with %s", a.status, a.body, want)
			}
		})
	}
	if a := s.do(t, http.MethodGet, "/v1/tasks:watch?states=LOST", nil); a.status != http.StatusBadRequest {
		t.Errorf("an unknown state: answer %d %s, want 400", a.status, a.body)
	}
}
