package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
)

// TestMetrics_ShowWhatGoesOn reads the metrics after a task.
func TestMetrics_ShowWhatGoesOn(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	ts.End(t, ts.Submit(t, "").GetId())
	wanted := []string{
		`rpc_server_call_duration_seconds_count{`, `rpc_method="refract.v1.TaskService/SubmitTask"`,
		`refract_provider_call_seconds_count{account="kie",operation="submit",outcome="ok"} 1`,
		`refract_callbacks_total{account="kie",verdict="applied"} 1`,
		`refract_attempt_verdicts_total{account="kie",by="callback",state="SUCCEEDED"} 1`,
		`refract_tasks{provider="kie",state="QUEUED"} 0`,
		`refract_output_saves_total{account="kie",outcome="saved"} 1`,
		`refract_output_link_left_seconds_count{account="kie"} 1`,
		`go_goroutines`,
	}
	defer func() {
		if len(wanted) > 0 {
			t.Errorf("metrics lack %q", wanted)
		}
	}()
	e2etest.Eventually(t, "the metrics show what is wanted", func() bool { // Some are counted after the answer to their call.
		_, body := ts.Rest(t, http.MethodGet, "/metrics", "")
		wanted = slices.DeleteFunc(wanted, func(want string) bool { return strings.Contains(string(body), want) })
		return len(wanted) == 0
	})
}

// TestREST_DescribesItself requests the paths that need no credentials.
func TestREST_DescribesItself(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	ts.Get(t, ts.Submit(t, "").GetId()) // It serves.
	for path, want := range map[string]int{"/": 200, "/healthz": 200, "/readyz": 200, "/openapi.json": 200, "/nothing": 404} {
		status, _, body := e2etest.Request(t, http.MethodGet, "http://"+ts.HTTPAddr()+path, "")
		if status != want {
			t.Errorf("%s answered %d, want %d: %s", path, status, want, body)
		}
		if path == "/openapi.json" && !json.Valid(body) {
			t.Error("the OpenAPI document is not JSON")
		}
	}
}

// TestREST_StreamsServerSentEvents follows a task as a browser would.
func TestREST_StreamsServerSentEvents(t *testing.T) {
	t.Parallel()
	ts, gate := startBehindGate(t)
	id := ts.Submit(t, "").GetId()
	ts.Await(t, id, e2etest.IsRunning)
	stream := openStream(t, ts, "/v1/tasks/"+id+":watch?after_revision=0")
	gate.Open.Store(true)
	body, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for frame := range strings.SplitSeq(string(body), "\n\n") {
		for line := range strings.Lines(frame) {
			if id, ok := strings.CutPrefix(line, "id: "); ok && !strings.Contains(frame, bookmark) {
				ids = append(ids, strings.TrimSpace(id))
			}
		}
	}
	if got := strings.Join(ids, " "); got != "1 2 3 4 5" {
		t.Errorf("revisions %s, want 1 to 5:\n%s", got, body)
	}
	status, _ := ts.Rest(t, http.MethodGet, "/v1/tasks/"+id+":watch", "", "Accept", "text/event-stream", "Last-Event-ID", "5")
	if status != http.StatusNoContent {
		t.Errorf("a reconnect after the end answered %d, want 204", status)
	}
}

// bookmark is in each frame of a stream that has no event.
const bookmark = "event: bookmark"

// TestREST_AStreamBeginsBeforeItHasAnEvent has a watch with nothing to send yet. The header of its answer must not wait for the first
// bookmark, so the change that the test makes then must come before any bookmark. A machine that takes longer for the change than the 14
// seconds to the bookmark proves nothing, and gets more tries.
func TestREST_AStreamBeginsBeforeItHasAnEvent(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	var stream string
	for range 5 {
		waiting := ts.Submit(t, "[sim:processing=1h]").GetId()
		newest := ts.Await(t, waiting, e2etest.IsRunning)
		body := openStream(t, ts, "/v1/tasks/"+waiting+":watch", "Last-Event-ID", strconv.FormatInt(newest[len(newest)-1].GetRevision(), 10))
		if _, err := ts.Tasks.CancelTask(ts.Ctx(t), &refractv1.CancelTaskRequest{TaskId: waiting}); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if stream = string(all); !strings.Contains(stream, bookmark) {
			break
		}
	}
	if want := "retry: 2000\n\nid: "; !strings.HasPrefix(stream, want) || strings.Contains(stream, bookmark) {
		t.Errorf("the stream is %s, want one that begins with %q and has no bookmark", stream, want)
	}
}

// openStream requests a stream of events, as a browser would, and returns its body as soon as the header of the answer has arrived. The
// headers of the request are given as name, value, name, value.
func openStream(t *testing.T, ts *e2etest.Service, path string, header ...string) io.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(ts.Ctx(t), http.MethodGet, "http://"+ts.HTTPAddr()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	header = append(header, "Authorization", "Bearer "+ts.Token, "Accept", "text/event-stream")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answered %d", path, resp.StatusCode)
	}
	return resp.Body
}
