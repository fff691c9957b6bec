package operation_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestLimits_ChangeLiveOverAllReplicas changes limits at one replica, which then stops. The other one must obey.
func TestLimits_ChangeLiveOverAllReplicas(t *testing.T) {
	t.Parallel()
	fleet := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		f.KIE.Limits, c.Processing = []string{"1/1h/100"}, time.Hour
	})
	ts := fleet.Start(t)
	var ids []string
	submit := func(n int) {
		for range n {
			ids = append(ids, ts.Submit(t, "", e2etest.At(kie.Name)).GetId())
		}
	}
	submit(1)
	ts.AwaitSent(t, 1)
	submit(1)
	ts.Waits(t, ids[1], refractv1.WaitingCause_WAITING_CAUSE_RATE_WINDOW)

	second := fleet.Start(t)
	o := second.Operator(t)
	resp, err := o.UpdateProviderLimits(o.Ctx(t), &refractv1.UpdateProviderLimitsRequest{
		Account: "kie", Rate: &refractv1.SubmissionRate{Submissions: 3, Window: durationpb.New(time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	in, configured := resp.GetAccount().GetLimits(), resp.GetAccount().GetConfiguredLimits()
	if in.GetRate().GetSubmissions() != 3 || in.GetInFlight() != 100 || configured.GetRate().GetSubmissions() != 1 {
		t.Errorf("the limits are %v, configured %v, want 3 in place of 1 submission", in, configured)
	}
	second.Stop()

	submit(2)
	ts.AwaitSent(t, 3)
	ts.Waits(t, ids[3], refractv1.WaitingCause_WAITING_CAUSE_RATE_WINDOW)

	// Over REST, at the first replica: one more in the window, but none in flight.
	token := ts.Operator(t).Token
	limit := func(body string) {
		t.Helper()
		status, _, answer := e2etest.Request(t, http.MethodPost, "http://"+ts.HTTPAddr()+"/v1/providers/kie/limits", body, "Authorization", "Bearer "+token)
		if status != http.StatusOK {
			t.Fatalf("answered %d %s", status, answer)
		}
	}
	limit(`{"rate":{"submissions":100,"window":"3600s"},"inFlight":3}`)
	ts.Waits(t, ids[3], refractv1.WaitingCause_WAITING_CAUSE_IN_FLIGHT_CAP)
	if n := len(ts.Sim.Ledger()); n != 3 {
		t.Errorf("%d submissions were sent over a limit of 3", n)
	}
	limit(`{"rate":{"submissions":100,"window":"3600s"},"inFlight":4}`)
	ts.AwaitSent(t, 4)
	submit(1)
	limit(``) // The configured limit again.
	ts.Waits(t, ids[4], refractv1.WaitingCause_WAITING_CAUSE_RATE_WINDOW)
	if !strings.Contains(second.Log.String(), `msg="changed by an operator" account=kie submissions=3 window=1h0m0s in_flight=100 change="limits of a provider account" operator=ops`) {
		t.Errorf("the log does not record the change:\n%s", second.Log)
	}
}

// TestPause_HoldsUntilResumed pauses an account by an operator, then by failures, and resumes it each time.
func TestPause_HoldsUntilResumed(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	o := ts.Operator(t)
	if out := o.Command(t, "provider", "pause", "kie", "--reason", "a price change"); !strings.Contains(out, "paused by an operator: a price change") {
		t.Errorf("pause printed %s", out)
	}
	id := ts.Submit(t, "", e2etest.At(kie.Name)).GetId()
	if w := ts.Waits(t, id, refractv1.WaitingCause_WAITING_CAUSE_PROVIDER_PAUSED); !strings.Contains(w.GetMessage(), "a price change") || w.GetUntilTime() != nil {
		t.Errorf("the task waits for %v, want the operator's reason and no end", w)
	}
	if out := command(t, ts, o.Token, "provider", "resume", "kie"); !strings.Contains(out, "open") {
		t.Errorf("resume printed %s", out)
	}
	if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED", last)
	}

	// Without credits, the account pauses for half a minute, and then twice as long each time.
	ts.Sim.SetCredits(0)
	id = ts.Submit(t, "", e2etest.At(kie.Name)).GetId()
	ts.Waits(t, id, refractv1.WaitingCause_WAITING_CAUSE_PROVIDER_PAUSED)
	resp, err := o.ListProviderAccounts(o.Ctx(t), &refractv1.ListProviderAccountsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	a := resp.GetAccounts()[0]
	if a.GetAccount() != "kie" || a.GetPause().GetByOperator() || a.GetPause().GetUntilTime() == nil || !a.GetBlocked() || !a.GetProbing() || a.GetQueuedTasks() != 1 {
		t.Errorf("the account is %v, want it paused by itself with one task queued", a)
	}
	ts.Sim.SetCredits(1000)
	if resp, err := o.ResumeProvider(o.Ctx(t), &refractv1.ResumeProviderRequest{Account: "kie"}); err != nil || resp.GetAccount().GetPause() != nil {
		t.Fatalf("ResumeProvider = %v, %v, want no pause", resp, err)
	}
	if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED", last)
	}
	if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByProfile)[simkie.Name]; paid != 2 {
		t.Errorf("paid %d times, want twice", paid)
	}
}

// TestTenants_AreBoundAtTheirNextSubmission sets a quota of a tenant, and removes it.
func TestTenants_AreBoundAtTheirNextSubmission(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(_ *server.Config, c *e2etest.SimConfig) { c.Processing = time.Hour })
	o := ts.Operator(t)
	if out := o.Command(t, "tenant", "set", "acme", "--weight=3", "--max-per-day=1", "--max-in-flight=1"); !strings.Contains(out, "acme    own    3       0       0/1   0/1") {
		t.Errorf("tenant set printed\n%s", out)
	}
	ts.Submit(t, "")
	ts.AwaitSent(t, 1)
	if _, err := ts.Tasks.SubmitTask(ts.Ctx(t), e2etest.GoodRequest()); e2etest.RefusalOf(err).Reason != "QUOTA_EXCEEDED" {
		t.Errorf("a submission over the quota gave %v, want QUOTA_EXCEEDED", err)
	}
	if out := command(t, ts, o.Token, "tenant", "list"); !strings.Contains(out, "acme    own      3       0       1/1   1/1    no limit  no limit  no limit   no limit  0/107374182400  0/10000  0/1000\nops     default  1") {
		t.Errorf("tenant list printed\n%s", out)
	}
	// The quota of open attempts makes a task wait until it is raised over REST.
	if _, err := o.UpdateTenant(o.Ctx(t), &refractv1.UpdateTenantRequest{Tenant: "acme", MaxInFlight: new(int32(1))}); err != nil {
		t.Fatal(err)
	}
	waiting := ts.Submit(t, "").GetId()
	ts.Waits(t, waiting, refractv1.WaitingCause_WAITING_CAUSE_TENANT_SHARE)
	status, _, answer := e2etest.Request(t, http.MethodPut, "http://"+ts.HTTPAddr()+"/v1/tenants/acme", `{"useDefault":true}`, "Authorization", "Bearer "+o.Token)
	if status != http.StatusOK || !strings.Contains(string(answer), `"ownTerms":false`) {
		t.Fatalf("answered %d %s, want the default's terms", status, answer)
	}
	ts.AwaitSent(t, 2)
	// The default applies to tenants without their own terms. Submissions of today still count.
	if _, err := o.UpdateTenant(o.Ctx(t), &refractv1.UpdateTenantRequest{Tenant: "-", MaxPerDay: new(int32(2))}); err != nil {
		t.Fatal(err)
	}
	ts.Submit(t, "")
	if _, err := ts.Tasks.SubmitTask(ts.Ctx(t), e2etest.GoodRequest()); e2etest.RefusalOf(err).Code != codes.ResourceExhausted {
		t.Errorf("a submission over the default's quota gave %v, want RESOURCE_EXHAUSTED", err)
	}
}

// TestTenants_HaveTheRetentionTimesThatAnOperatorSets sets retention times, and resets them one by one.
func TestTenants_HaveTheRetentionTimesThatAnOperatorSets(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) {
		f.Retention = server.Retention{KeepOutputs: 720 * time.Hour, KeepSources: 168 * time.Hour, KeepCallbacks: 720 * time.Hour, KeepTasks: 2160 * time.Hour}
	})
	o := ts.Operator(t)
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"acme", "--keep-outputs=48h", "--keep-tasks=0"}, "- 48h 168h 720h no limit"},
		{[]string{"-", "--keep-outputs=2h30m", "--keep-callbacks=24h"}, "- 2h30m 168h 24h 2160h"},
		{[]string{"acme", "--weight=2", "--max-queued=9"}, "acme own 2 0/9 0 - 48h 168h 24h no limit"},
		{[]string{"acme", "--keep-outputs=default", "--keep-sources=24h"}, "acme own 2 0/9 0 - 2h30m 24h 24h no limit"},
		{[]string{"acme", "--default"}, "- 2h30m 168h 24h 2160h"},
	} {
		out := command(t, ts, o.Token, append([]string{"tenant", "set"}, step.args...)...)
		if !strings.Contains(strings.Join(strings.Fields(out), " "), step.want) {
			t.Errorf("%q printed\n%swant %s", step.args, out, step.want)
		}
	}
	for field, req := range map[string]*refractv1.UpdateTenantRequest{
		"keep_tasks.keep_for":   {KeepTasks: &refractv1.KeepTime{Time: &refractv1.KeepTime_KeepFor{KeepFor: durationpb.New(23 * time.Hour)}}},
		"keep_outputs.keep_for": {KeepOutputs: &refractv1.KeepTime{Time: &refractv1.KeepTime_KeepFor{KeepFor: durationpb.New(-time.Hour)}}},
		"keep_sources":          {KeepSources: &refractv1.KeepTime{}},
		"use_default":           {UseDefault: true, KeepCallbacks: &refractv1.KeepTime{Time: &refractv1.KeepTime_AsDefault{AsDefault: true}}},
	} {
		req.Tenant = "acme"
		if _, err := o.UpdateTenant(o.Ctx(t), req); e2etest.RefusalOf(err).Code != codes.InvalidArgument || !strings.Contains(err.Error(), field) {
			t.Errorf("%v gave %v, want INVALID_ARGUMENT about %s", req, err, field)
		}
	}
}
