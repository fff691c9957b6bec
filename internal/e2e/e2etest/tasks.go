package e2etest

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/provider/fal"
	"github.com/refract-video/refract/internal/sim"
)

// Queries returns how many queries the provider has answered or refused.
func Queries(provider *sim.Server) int {
	queries := provider.Limits().Queries
	if len(queries) == 0 {
		return 0
	}
	return queries[0].Accepted + queries[0].Refused
}

// TasksOfTenant counts the tasks of the tenant "acme".
func (ts *Service) TasksOfTenant(t *testing.T) int {
	t.Helper()
	list, err := ts.Tasks.ListTasks(ts.Ctx(t), &refractv1.ListTasksRequest{PageSize: 500})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.GetTasks())
}

// RetryOf returns the retry delay of an error, in seconds.
func RetryOf(err error) int64 {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().GetSeconds()
		}
	}
	return 0
}

// Verdicts counts the inbox by verdict, and fails the test when a stored body holds the URL token.
func Verdicts(t *testing.T, ts *Service, token string) map[string]int {
	t.Helper()
	rows, err := ts.Pool.Query(t.Context(), `SELECT verdict, body FROM callback`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var verdict string
		var body []byte
		if err := rows.Scan(&verdict, &body); err != nil {
			t.Fatal(err)
		}
		counts[verdict]++
		if strings.Contains(string(body), token) {
			t.Errorf("a stored body holds the URL token: %s", body)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}

// IsRunning reports whether an event brought a task into RUNNING.
func IsRunning(e *refractv1.TaskEvent) bool {
	return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING
}

// AwaitSent waits until the provider has received this many submissions.
func (ts *Service) AwaitSent(t *testing.T, n int) {
	t.Helper()
	if err := ts.Sim.Await(ts.Ctx(t), func() bool { return len(ts.Sim.Ledger()) >= n }); err != nil {
		t.Fatalf("%d submissions were sent, want %d: %v", len(ts.Sim.Ledger()), n, err)
	}
}

// Waits waits until a task reports this cause of waiting.
func (ts *Service) Waits(t *testing.T, id string, cause refractv1.WaitingCause) *refractv1.Waiting {
	t.Helper()
	var w *refractv1.Waiting
	defer func() {
		if w.GetCause() != cause {
			t.Logf("the task waits for %v", w)
		}
	}()
	Eventually(t, "the task to wait for "+cause.String(), func() bool {
		w = ts.Get(t, id).GetWaiting()
		return w.GetCause() == cause
	})
	return w
}

// InfoOf returns the ErrorInfo of a status.
func InfoOf(st *status.Status) *errdetails.ErrorInfo {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// Entry returns the provider's ledger entry of a task with a unique prompt.
func (ts *Service) Entry(t *testing.T, task *refractv1.Task) sim.Entry {
	t.Helper()
	for _, e := range ts.Sim.Ledger() {
		if e.Prompt == task.GetPrompt() {
			return e
		}
	}
	t.Fatalf("the provider's ledger does not hold %q", task.GetPrompt())
	return sim.Entry{}
}

// BucketDir returns the folder of the bucket.
func (ts *Service) BucketDir(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(ts.BucketURL)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.FromSlash(u.Path)
}

// As returns the service with the token of another tenant.
func (ts *Service) As(t *testing.T, tenant string) *Service {
	t.Helper()
	other := *ts
	other.Token = CreateToken(t, ts.Pool, tenant)
	return &other
}

// SubmitMany submits tasks with prompts of their own, many in a call.
func (ts *Service) SubmitMany(t *testing.T, n int, amend func(*refractv1.SubmitTaskRequest)) []string {
	t.Helper()
	var ids []string
	for len(ids) < n {
		req := &refractv1.BatchSubmitTasksRequest{}
		for range min(n-len(ids), 500) {
			r := GoodRequest()
			r.Prompt = fmt.Sprintf("A neon city, take %d", len(ids)+len(req.GetRequests()))
			amend(r)
			req.Requests = append(req.Requests, r)
		}
		resp, err := ts.Tasks.BatchSubmitTasks(ts.Ctx(t), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resp.GetResults() {
			if r.GetTask() == nil {
				t.Fatalf("submit: %v", r)
			}
			ids = append(ids, r.GetTask().GetId())
		}
	}
	return ids
}

// FalQueries returns how many queries the simulator of fal got: about the status or for the result.
func (ts *Service) FalQueries() int {
	n := 0
	for _, u := range ts.Sim.Limits().Queries {
		if u.Profile == fal.Name {
			n += u.Accepted
		}
	}
	return n
}

// At names the provider of a task, and those that take its place.
func At(providers ...string) func(*refractv1.SubmitTaskRequest) {
	return func(r *refractv1.SubmitTaskRequest) { r.Provider, r.FallbackProviders = providers[0], providers[1:] }
}

// Retry retries a task.
func (ts *Service) Retry(t *testing.T, id string) {
	t.Helper()
	if _, err := ts.Tasks.RetryTask(ts.Ctx(t), &refractv1.RetryTaskRequest{TaskId: id}); err != nil {
		t.Fatalf("retry: %v", err)
	}
}
