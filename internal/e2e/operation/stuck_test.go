package operation_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

// TestStuck_ListsWhatIsLongInItsStateWithTheCause makes tasks old, and lists them over gRPC, REST and by the command line.
func TestStuck_ListsWhatIsLongInItsStateWithTheCause(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		f.Luma = server.Upstream{APIKeys: []redact.Secret{e2etest.APIKey}}
		c.Processing = time.Hour
	})
	o := ts.Operator(t)
	if out := command(t, ts, o.Token, "stuck"); !strings.Contains(out, "no task has been in its state for longer than is usual") {
		t.Errorf("without a stuck task it printed %s", out)
	}
	running := ts.Submit(t, "", e2etest.At(kie.Name)).GetId()
	ts.Await(t, running, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	command(t, ts, o.Token, "provider", "pause", "luma", "--reason=a price change")
	queued := ts.Submit(t, "", e2etest.At(luma.Name)).GetId()
	ts.Submit(t, "", e2etest.At(luma.Name)) // It is not stuck.
	postgrestest.Exec(t, ts.Pool, `UPDATE task SET update_time = now() - CASE id WHEN $1 THEN interval '3 hours' ELSE interval '2 hours' END WHERE id IN ($1, $2)`, running, queued)

	list := func(req *refractv1.ListStuckTasksRequest) (ids []string, resp *refractv1.ListStuckTasksResponse) {
		t.Helper()
		resp, err := o.ListStuckTasks(o.Ctx(t), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range resp.GetTasks() {
			ids = append(ids, s.GetTaskId())
		}
		return ids, resp
	}
	ids, resp := list(&refractv1.ListStuckTasksRequest{})
	if len(ids) != 2 || ids[0] != running || ids[1] != queued || resp.GetNextPageToken() != "" {
		t.Fatalf("the list is %v, want the RUNNING task before the QUEUED one", resp)
	}
	if s := resp.GetTasks()[0]; s.GetUsualDuration().AsDuration() != 5*time.Minute || s.GetWaiting() != nil || !strings.Contains(s.GetAdvice(), "refract check") {
		t.Errorf("the RUNNING task is %v, want its usual duration, and the advice to ask the provider", s)
	}
	if s := resp.GetTasks()[1]; s.GetTenant() != "acme" || s.GetUsualDuration() != nil ||
		s.GetWaiting().GetCause() != refractv1.WaitingCause_WAITING_CAUSE_PROVIDER_PAUSED || !strings.Contains(s.GetAdvice(), "refract provider resume") {
		t.Errorf("the QUEUED task is %v, want its cause, and the advice to resume the account", s)
	}
	for name, tc := range map[string]struct {
		req  *refractv1.ListStuckTasksRequest
		want int
	}{
		"at a provider":        {&refractv1.ListStuckTasksRequest{Provider: "luma"}, 1},
		"of its tenant":        {&refractv1.ListStuckTasksRequest{Tenant: "acme"}, 2},
		"of another tenant":    {&refractv1.ListStuckTasksRequest{Tenant: "other"}, 0},
		"at another provider":  {&refractv1.ListStuckTasksRequest{Provider: "fal"}, 0},
		"of a tenant anywhere": {&refractv1.ListStuckTasksRequest{Tenant: "acme", Provider: "kie"}, 1},
	} {
		if ids, _ := list(tc.req); len(ids) != tc.want {
			t.Errorf("%s: %v, want %d tasks", name, ids, tc.want)
		}
	}
	first, resp := list(&refractv1.ListStuckTasksRequest{PageSize: 1})
	second, resp := list(&refractv1.ListStuckTasksRequest{PageSize: 1, PageToken: resp.GetNextPageToken()})
	if len(first) != 1 || len(second) != 1 || first[0] != running || second[0] != queued || resp.GetNextPageToken() != "" {
		t.Errorf("the pages are %v and %v, want one task on each, and no more", first, second)
	}

	status, _, answer := e2etest.Request(t, http.MethodGet, "http://"+ts.HTTPAddr()+"/v1/stuckTasks?provider=luma", "", "Authorization", "Bearer "+o.Token)
	var rest refractv1.ListStuckTasksResponse
	if err := protojson.Unmarshal(answer, &rest); err != nil || status != http.StatusOK || len(rest.GetTasks()) != 1 || rest.GetTasks()[0].GetTaskId() != queued {
		t.Errorf("REST answered %d, %v: %s", status, err, answer)
	}
	out := o.Command(t, "stuck", "--provider=luma")
	for _, want := range []string{queued + "  QUEUED for 2h", "tenant acme, provider luma", "waits for PROVIDER_PAUSED: account luma is paused: a price change"} {
		if !strings.Contains(out, want) {
			t.Errorf("stuck printed %s, want %q in it", out, want)
		}
	}
	if lines := strings.Count(command(t, ts, o.Token, "stuck", "--json"), "\n"); lines != 2 {
		t.Errorf("--json printed %d lines, want one for each task", lines)
	}
}

// TestExplain_IsForTheTenantAndForOperators asks for one explanation as the tenant, as an operator, and as a stranger, over REST.
func TestExplain_IsForTheTenantAndForOperators(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	const secret = "signature-of-the-caller"
	id := ts.Submit(t, "", func(r *refractv1.SubmitTaskRequest) {
		r.Source = &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com/clip.mp4?X-Amz-Signature=" + secret}}
	}).GetId()
	ts.End(t, id)
	for name, tc := range map[string]struct {
		token  string
		status int
	}{
		"its tenant":     {ts.Token, http.StatusOK},
		"an operator":    {e2etest.NewToken(t, ts.Pool, "ops", true), http.StatusOK},
		"another tenant": {e2etest.CreateToken(t, ts.Pool, "other"), http.StatusNotFound},
		"no token":       {"", http.StatusUnauthorized},
	} {
		status, _, answer := e2etest.Request(t, http.MethodGet, "http://"+ts.HTTPAddr()+"/v1/tasks/"+id+":explain", "", "Authorization", "Bearer "+tc.token)
		if status != tc.status {
			t.Errorf("%s: answered %d %s, want %d", name, status, answer, tc.status)
			continue
		}
		if strings.Contains(string(answer), secret) {
			t.Errorf("%s: the answer has a secret: %s", name, answer)
		}
		var resp refractv1.ExplainTaskResponse
		if status != http.StatusOK {
			if got := e2etest.DecodeError(t, answer); strings.Contains(string(answer), "acme") {
				t.Errorf("%s: the refusal %+v has a fact about the task", name, got)
			}
			continue
		}
		if err := protojson.Unmarshal(answer, &resp); err != nil || resp.GetExplanation().GetTask().GetId() != id || len(resp.GetExplanation().GetEntries()) < 4 {
			t.Errorf("%s: the explanation is %s, %v", name, answer, err)
		}
	}
}
