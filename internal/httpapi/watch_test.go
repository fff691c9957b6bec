package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

const watchPath = "/v1/tasks/" + taskID + ":watch"

func event(revision int64, message string) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Event{
		Event: &refractv1.TaskEvent{Revision: revision, State: refractv1.TaskState_TASK_STATE_RUNNING, Message: message},
	}}
}

func bookmark(revision int64) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Bookmark{
		Bookmark: &refractv1.WatchBookmark{Revision: revision},
	}}
}

func task(revision int64) *refractv1.WatchTaskResponse {
	return &refractv1.WatchTaskResponse{Update: &refractv1.WatchTaskResponse_Task{Task: &refractv1.Task{Id: "t", Revision: revision}}}
}

const taskJSON = `{"id":"t","requestId":"","state":"TASK_STATE_UNSPECIFIED","revision":"2","prompt":"","watermark":"",` +
	`"provider":"","priority":0,"labels":{},"maxAttempts":0,"outputs":[],"fallbackProviders":[],"strength":"STRENGTH_UNSPECIFIED","model":"","firstFrameUri":"","webhookUri":""}`

const eventJSON = `{"revision":"3","state":"TASK_STATE_RUNNING","attempt":0,"message":"two\nlines <b>","outputs":[]}`

const drainingJSON = `{"code":14,"message":"draining","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",` +
	`"reason":"SHUTTING_DOWN","domain":"refract"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]}`

func TestWatch_FramesEveryMessage(t *testing.T) {
	t.Parallel()
	draining := refusal(t, codes.Unavailable, "SHUTTING_DOWN", "draining", retryAfter(time.Second))
	s := serveInternal(t, &remote{watch: func(_ *refractv1.WatchTaskRequest, stream watchStream) error {
		for _, m := range []*refractv1.WatchTaskResponse{task(2), event(3, "two\nlines <b>"), bookmark(3)} {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return draining
	}})
	events := "retry: 2000\n\nid: 2\nevent: task\ndata: " + taskJSON + "\n\n" +
		"id: 3\nevent: event\ndata: " + eventJSON + "\n\n" +
		"id: 3\nevent: bookmark\ndata: {\"revision\":\"3\"}\n\n" +
		"event: error\ndata: " + drainingJSON + "\n\n"
	lines := `{"result":{"task":` + taskJSON + "}}\n" + `{"result":{"event":` + eventJSON + "}}\n" +
		`{"result":{"bookmark":{"revision":"3"}}}` + "\n" + `{"error":` + drainingJSON + "}\n"
	for name, tc := range map[string]struct{ accept, contentType, body string }{
		"lines by default":   {"", "application/x-ndjson", lines},
		"lines for the rest": {"application/json, */*", "application/x-ndjson", lines},
		"events":             {"text/event-stream", "text/event-stream", events},
		"events among more":  {"Text/Event-Stream;q=0.9, application/json", "text/event-stream", events},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, http.MethodGet, watchPath, nil, "Accept", tc.accept)
			if a.status != http.StatusOK || a.body != tc.body {
				t.Errorf("answer %d\n%s\nwant 200\n%s", a.status, a.body, tc.body)
			}
			for key, want := range map[string]string{"Content-Type": tc.contentType, "Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"} {
				if got := a.header.Get(key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestWatch_MessageArrivesBeforeTheNextIsSent(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	s := serveInternal(t, &remote{watch: func(_ *refractv1.WatchTaskRequest, stream watchStream) error {
		for i := range int64(3) {
			if err := stream.Send(bookmark(i)); err != nil {
				return err
			}
			select {
			case <-next:
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		}
		return nil
	}})
	resp := s.start(t, http.MethodGet, watchPath, nil)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for i := range 3 {
		got, err := lines.ReadString('\n')
		if want := fmt.Sprintf(`{"result":{"bookmark":{"revision":"%d"}}}`+"\n", i); err != nil || got != want {
			t.Fatalf("line %q, %v, want %q", got, err, want)
		}
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
		t.Errorf("after the last message: %q, %v", rest, err)
	}
}

func TestWatch_ResumesAfterLastEventID(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{watch: func(req *refractv1.WatchTaskRequest, stream watchStream) error {
		if req.AfterRevision == nil {
			return stream.Send(event(0, "from now"))
		}
		return stream.Send(event(req.GetAfterRevision(), req.GetTaskId()))
	}})
	for name, tc := range map[string]struct {
		query, lastEventID string
		want               string
	}{
		"from now":          {"", "", `"revision":"0",`},
		"parameter":         {"?afterRevision=4", "", `"revision":"4",`},
		"proto name":        {"?after_revision=4", "", `"revision":"4",`},
		"header":            {"", "5", `"revision":"5",`},
		"header of zero":    {"", "0", `"message":"` + taskID},
		"header wins":       {"?after_revision=0", "6", `"revision":"6",`},
		"path is the task":  {"?task_id=other&after_revision=1", "", `"field":"task_id"`},
		"header, a word":    {"", "newest", `"field":"after_revision"`},
		"header, negative":  {"", "-1", `"field":"after_revision"`},
		"header, too large": {"", "9223372036854775808", `"field":"after_revision"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			headers := []string{"Accept", "text/event-stream"}
			if tc.lastEventID != "" {
				headers = append(headers, "Last-Event-ID", tc.lastEventID)
			}
			a := s.do(t, http.MethodGet, watchPath+tc.query, nil, headers...)
			wantStatus := http.StatusOK
			if strings.Contains(tc.want, "field") {
				wantStatus = http.StatusBadRequest
			}
			if a.status != wantStatus || !strings.Contains(a.body, tc.want) {
				t.Errorf("answer %d %s\nwant %d with %s", a.status, a.body, wantStatus, tc.want)
			}
		})
	}
}

func TestWatch_RefusalBeforeTheFirstMessageIsAnOrdinaryOne(t *testing.T) {
	t.Parallel()
	draining := refusal(t, codes.Unavailable, "SHUTTING_DOWN", "draining", retryAfter(time.Second))
	s := serveInternal(t, &remote{watch: func(*refractv1.WatchTaskRequest, watchStream) error { return draining }})
	a := s.do(t, http.MethodGet, watchPath, nil, "Accept", "application/json")
	if a.status != http.StatusServiceUnavailable || a.body != drainingJSON {
		t.Errorf("answer %d %s\nwant 503 %s", a.status, a.body, drainingJSON)
	}
	if got := a.header.Get("Retry-After") + " " + a.header.Get("Content-Type"); got != "1 application/json" {
		t.Errorf("Retry-After and Content-Type %q", got)
	}
}

// TestWatch_AnEventSourceComesBackAfterWhatPasses refuses watches before their first message. An EventSource never reconnects
// after a status other than 200. Without failStream it is answered 503 here.
func TestWatch_AnEventSourceComesBackAfterWhatPasses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		status int
	}{
		"draining":        {refusal(t, codes.Unavailable, "SHUTTING_DOWN", "draining", retryAfter(time.Second)), 200},
		"database":        {refusal(t, codes.Unavailable, "DATABASE_UNAVAILABLE", "later", retryAfter(time.Second)), 200},
		"overloaded":      {refusal(t, codes.ResourceExhausted, "OVERLOADED", "later"), 200},
		"transport":       {status.Error(codes.Unavailable, "connection lost"), 200},
		"a fault of ours": {refusal(t, codes.Internal, "INTERNAL", "internal error"), 200},
		"no such task":    {refusal(t, codes.NotFound, "TASK_NOT_FOUND", "no"), 404},
		"credentials":     {refusal(t, codes.Unauthenticated, "CREDENTIALS_INVALID", "no"), 401},
		"expired":         {refusal(t, codes.OutOfRange, "REVISION_EXPIRED", "no"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveInternal(t, &remote{watch: func(*refractv1.WatchTaskRequest, watchStream) error { return tc.err }})
			a := s.do(t, http.MethodGet, watchPath, nil, "Accept", "text/event-stream", "Last-Event-ID", "4")
			if a.status != tc.status {
				t.Fatalf("answer %d %s, want %d", a.status, a.body, tc.status)
			}
			if a.status == 200 && (!strings.HasPrefix(a.body, "retry: 2000\n\nevent: error\ndata: {") || a.header.Get("Content-Type") != "text/event-stream") {
				t.Errorf("answer of type %s: %s", a.header.Get("Content-Type"), a.body)
			}
		})
	}
}

// TestWatch_HeaderComesBeforeTheFirstMessage opens a watch without messages. Without the header of the server the answer would
// begin with the first bookmark.
func TestWatch_HeaderComesBeforeTheFirstMessage(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{watch: func(_ *refractv1.WatchTaskRequest, stream watchStream) error {
		if err := stream.SendHeader(metadata.Pairs("x-watching", "1")); err != nil {
			return err
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	}})
	resp := s.start(t, http.MethodGet, watchPath+"?after_revision=3", nil, "Accept", "text/event-stream")
	defer resp.Body.Close()
	first, err := bufio.NewReader(resp.Body).ReadString('\n')
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || first != "retry: 2000\n" || err != nil {
		t.Errorf("answer %d of type %q begins with %q, %v", resp.StatusCode, resp.Header.Get("Content-Type"), first, err)
	}
	head := s.do(t, http.MethodHead, watchPath+"?after_revision=3", nil, "Accept", "text/event-stream")
	if head.status != http.StatusOK || head.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD is answered %d of type %q", head.status, head.header.Get("Content-Type"))
	}
}

func TestWatch_NothingLeftEndsReconnecting(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{watch: func(*refractv1.WatchTaskRequest, watchStream) error { return nil }})
	for lastEventID, want := range map[string]int{"9": http.StatusNoContent, "": http.StatusOK} {
		a := s.do(t, http.MethodGet, watchPath, nil, "Accept", "text/event-stream", "Last-Event-ID", lastEventID)
		if a.status != want || strings.TrimPrefix(a.body, "retry: 2000\n\n") != "" {
			t.Errorf("Last-Event-ID %q: answer %d %q, want %d without events", lastEventID, a.status, a.body, want)
		}
	}
}

func TestWatch_TransportErrorTellsNothing(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{watch: func(_ *refractv1.WatchTaskRequest, stream watchStream) error {
		_ = stream.Send(bookmark(1))
		return status.Error(codes.Internal, "pq: hunter2")
	}})
	a := s.do(t, http.MethodGet, watchPath, nil, "Accept", "text/event-stream")
	want := "retry: 2000\n\nid: 1\nevent: bookmark\ndata: {\"revision\":\"1\"}\n\nevent: error\ndata: {\"code\":13,\"message\":\"internal error\"}\n\n"
	if a.body != want {
		t.Errorf("body %q, want %q", a.body, want)
	}
}

func TestWatch_ClientThatLeavesEndsTheStream(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	s := serveInternal(t, &remote{watch: func(_ *refractv1.WatchTaskRequest, stream watchStream) error {
		if _, bounded := stream.Context().Deadline(); bounded {
			t.Error("the stream has a deadline")
		}
		_ = stream.Send(bookmark(1))
		<-stream.Context().Done()
		ended <- stream.Context().Err()
		return nil
	}})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+watchPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	leave()
	select {
	case <-ended:
	case <-time.After(hung):
		t.Fatal("the stream goes on without its client")
	}
}
