package promises_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/server"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestPromise05_TerminalIsTerminal brings tasks to every possible end, and then sends them everything that may still
// come: callbacks of each kind, checks, the submit and the save job again, the deadline, a cancellation. Nothing may
// change what callers see. TestApply_KeepsItsPromisesInEveryOrder of package task does the same in every order of
// inputs.
//
// It fails when resultReady (internal/task/attempt_inputs.go) saves in the states Failed and Canceled as in Running.
func TestPromise05_TerminalIsTerminal(t *testing.T) {
	t.Parallel()
	cancel := func(t *testing.T, ts *e2etest.Service, id string) {
		t.Helper()
		if _, err := ts.Tasks.CancelTask(ts.Ctx(t), &refractv1.CancelTaskRequest{TaskId: id}); err != nil {
			t.Errorf("cancel: %v", err)
		}
	}
	expire := func(t *testing.T, ts *e2etest.Service, id string) {
		t.Helper()
		postgrestest.Exec(t, ts.Pool, "UPDATE task SET deadline_time = now() WHERE id = $1 AND state <> 'SUCCEEDED'", id)
	}
	type ending struct {
		name   string
		prompt string
		end    func(*testing.T, *e2etest.Service, string)
		want   string
		late   bool // Whether the provider's result arrives only afterwards.
	}
	endings := []ending{ // The late ones first: they end while the gate is closed.
		{"past its deadline", "", expire, "FAILED", true},
		{"canceled while it runs", "", cancel, "CANCELED", true},
		{"succeeded", "", nil, "SUCCEEDED", false},
		{"failed at the provider", "[sim:fail]", nil, "FAILED", false},
		{"refused", "[sim:code=422]", nil, "FAILED", false},
		{"its result is no video", "[sim:html-result]", nil, "FAILED", false},
	}
	g := e2etest.StartGate(t)
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.CallbackURL, c.Kie.CallbackAttempts = g.URL, 2000
		f.KIE.Poll = time.Hour // All news comes through the gate.
	})
	g.To(ts)
	tasks := make([]*refractv1.Task, len(endings)) // As they ended.
	for i, e := range endings {
		if !e.late {
			g.Open.Store(true)
		}
		id := ts.Submit(t, e.name+" "+e.prompt).GetId()
		if e.end != nil {
			ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
			e.end(t, ts, id)
		}
		if got := ts.End(t, id).GetState().String(); got != "TASK_STATE_"+e.want {
			t.Fatalf("%s: the task ended as %s, want %s", e.name, got, e.want)
		}
		tasks[i] = ts.Get(t, id)
	}
	for i, e := range endings {
		if e.late { // Kept for a retry, and not shown.
			e2etest.Eventually(t, e.name+": the late result to be kept", func() bool {
				return postgrestest.Value[bool](t, ts.Pool, "SELECT saved FROM attempt WHERE task_id = $1", tasks[i].GetId())
			})
		}
	}
	afterTheEnd(t, ts)
	for _, task := range tasks {
		cancel(t, ts, task.GetId())
		expire(t, ts, task.GetId())
	}
	// Everything that was sent before this task ends has been processed.
	ts.End(t, ts.Submit(t, "canary").GetId())
	e2etest.Eventually(t, "checks and jobs", func() bool {
		return postgrestest.Value[int](t, ts.Pool, `SELECT (SELECT count(*) FROM river_job WHERE state IN ('available', 'running'))
			+ (SELECT count(*) FROM attempt WHERE next_check_time <= now())`) == 0
	})
	posts := map[string]int{}
	for _, e := range ts.Sim.Ledger() {
		posts[e.Prompt]++ // Without a prompt, it is a request for fresh links.
	}
	for i, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			before := tasks[i]
			after := ts.Get(t, before.GetId())
			after.DeadlineTime = before.DeadlineTime // The test changed it.
			if e.late {
				after.Attempt = before.Attempt // It is followed to its end, so that payment is known.
			}
			for _, o := range slices.Concat(before.GetOutputs(), after.GetOutputs()) {
				o.SignedUri, o.SignedUriExpireTime = "", nil // Each response has new ones.
			}
			if !proto.Equal(before, after) {
				t.Errorf("the task changed from\n%v\nto\n%v", before, after)
			}
			if n := postgrestest.Value[int64](t, ts.Pool, "SELECT count(*) FROM task_event WHERE task_id = $1", before.GetId()); n != before.GetRevision() {
				t.Errorf("%d events are stored, want %d", n, before.GetRevision())
			}
		})
	}
	delete(posts, "")
	if want := len(endings) + 1; len(posts) != want {
		t.Errorf("the prompts of the submissions are %v, want those of %d tasks", posts, want)
	}
	for prompt, n := range posts {
		if n != 1 {
			t.Errorf("%d submissions of %q arrived, want one", n, prompt)
		}
	}
}

// afterTheEnd sends every attempt of a service every input that may come at any time.
func afterTheEnd(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	for i, entry := range ts.Sim.Ledger() {
		if entry.Prompt == "" {
			continue // It is a request for fresh links.
		}
		ids := []string{entry.TaskID, fmt.Sprintf("%032x", i+1)}
		if entry.TaskID == "" {
			ids = nil // Nothing was created, so only the provider itself can sign that something was.
		}
		for _, id := range ids {
			now := strconv.FormatInt(time.Now().Unix(), 10)
			for _, body := range []string{
				`{"code":200,"msg":"ok","data":{"taskId":"` + id + `","resultUrls":["https://evil.example/x.mp4"]}}`,
				`{"code":500,"msg":"failed","data":{"taskId":"` + id + `"}}`,
			} {
				status, _, answer := e2etest.Request(t, http.MethodPost, entry.CallbackURL, body,
					"X-Webhook-Timestamp", now, "X-Webhook-Signature", simkie.Sign(e2etest.WebhookKey, id, now))
				if status != http.StatusOK {
					t.Errorf("a callback after the end was answered %d %s, want 200", status, answer)
				}
			}
		}
	}
	postgrestest.Exec(t, ts.Pool, "UPDATE attempt SET next_check_time = now() WHERE state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING')")
	postgrestest.Exec(t, ts.Pool, "UPDATE river_job SET state = 'available', scheduled_at = now(), finalized_at = NULL")
}
