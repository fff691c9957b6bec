package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/provider/fal"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	simluma "github.com/refract-video/refract/internal/sim/luma"
)

// TestProviders_SurviveTheirFaults runs one task through each of the faults of Luma's own two APIs and of fal.
func TestProviders_SurviveTheirFaults(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		c.Luma.SubmitLimit.N, c.Luma.MaxConcurrent = -1, -1
		c.LumaAgents.SubmitLimit.N, c.LumaAgents.MaxConcurrent = -1, -1
	})
	const (
		succeeded = refractv1.TaskState_TASK_STATE_SUCCEEDED
		failed    = refractv1.TaskState_TASK_STATE_FAILED
	)
	for _, tc := range []struct {
		provider, directive string
		want                refractv1.TaskState
		reason              refractv1.FailureReason
		paid                int
	}{
		{luma.Name, "", succeeded, 0, 1},
		{luma.Name, "[sim:duplicate=2]", succeeded, 0, 1},
		{luma.Name, "[sim:early]", succeeded, 0, 1},
		{luma.Name, "[sim:regress]", succeeded, 0, 1},
		{luma.Name, "[sim:conflict]", succeeded, 0, 1},
		{luma.Name, "[sim:forge-urls]", succeeded, 0, 1},
		{luma.Name, "[sim:forge-code=200,processing=300ms]", succeeded, 0, 1},
		{luma.Name, "[sim:forge-code=500,processing=300ms]", succeeded, 0, 1},
		{luma.Name, "[sim:drop-after]", succeeded, 0, 1},
		{luma.Name, "[sim:fail]", failed, refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, 1},
		{luma.Name, "[sim:code=422]", failed, refractv1.FailureReason_FAILURE_REASON_INPUT_REJECTED, 0},
		{luma.Name, "[sim:html-result]", failed, refractv1.FailureReason_FAILURE_REASON_OUTPUT_INVALID, 1},
		{lumaagents.Name, "", succeeded, 0, 1},
		{lumaagents.Name, "[sim:results=2]", succeeded, 0, 1},
		{lumaagents.Name, "[sim:lag=300ms]", succeeded, 0, 1},
		{lumaagents.Name, "[sim:expired]", succeeded, 0, 1},
		{lumaagents.Name, "[sim:drop-after]", failed, refractv1.FailureReason_FAILURE_REASON_OUTCOME_UNKNOWN, 1},
		{lumaagents.Name, "[sim:fail=content_moderated]", failed, refractv1.FailureReason_FAILURE_REASON_CONTENT_MODERATED, 1},
		{lumaagents.Name, "[sim:code=422]", failed, refractv1.FailureReason_FAILURE_REASON_INPUT_REJECTED, 0},
		{fal.Name, "", succeeded, 0, 1},
		{fal.Name, "[sim:duplicate=2]", succeeded, 0, 1},
		{fal.Name, "[sim:early]", succeeded, 0, 1},
		{fal.Name, "[sim:no-signature]", succeeded, 0, 1},
		{fal.Name, "[sim:bad-signature]", succeeded, 0, 1},
		{fal.Name, "[sim:wrong-key]", succeeded, 0, 1},
		{fal.Name, "[sim:tampered]", succeeded, 0, 1},
		{fal.Name, "[sim:payload-error]", succeeded, 0, 1},
		{fal.Name, "[sim:lag=300ms]", succeeded, 0, 1},
		{fal.Name, "[sim:drop-after]", succeeded, 0, 1},
		{fal.Name, "[sim:fail]", failed, refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, 1},
		{fal.Name, "[sim:fail=content_policy_violation]", failed, refractv1.FailureReason_FAILURE_REASON_CONTENT_MODERATED, 1},
		{fal.Name, "[sim:code=422]", failed, refractv1.FailureReason_FAILURE_REASON_INPUT_REJECTED, 0},
		{fal.Name, "[sim:html-result]", failed, refractv1.FailureReason_FAILURE_REASON_OUTPUT_INVALID, 1},
	} {
		t.Run(tc.provider+tc.directive, func(t *testing.T) {
			t.Parallel()
			task := ts.Submit(t, tc.directive, e2etest.At(tc.provider), func(r *refractv1.SubmitTaskRequest) { r.Prompt += " at " + tc.provider })
			last := ts.End(t, task.GetId())
			if last.GetState() != tc.want || last.GetFailure().GetReason() != tc.reason {
				t.Errorf("ended %v, want %v with %v", last, tc.want, tc.reason)
			}
			if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt)[task.GetPrompt()]; paid != tc.paid {
				t.Errorf("paid %d times, want %d", paid, tc.paid)
			}
			if slices.ContainsFunc(ts.Sim.Downloads(), func(d sim.Download) bool { return d.Forged }) {
				t.Error("a forged link was followed")
			}
		})
	}
}

// TestUnsignedCallback_IsNeverBelievedWithoutReadBack posts a forged result while the provider still works. The task
// must stay RUNNING.
func TestUnsignedCallback_IsNeverBelievedWithoutReadBack(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		c.Processing = time.Hour
	})
	id := ts.Submit(t, "[sim:never]", e2etest.At(luma.Name)).GetId()
	ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	entry := ts.Sim.Ledger()[0]
	for _, body := range []string{
		`{"id":"` + entry.TaskID + `","state":"completed","assets":{"video":"https://evil.example/x.mp4"}}`,
		`{"id":"` + entry.TaskID + `","state":"failed","failure_reason":"forged"}`,
	} {
		if status, _, answer := e2etest.Request(t, "POST", entry.CallbackURL, body); status != 200 {
			t.Errorf("answered %d %s, want 200", status, answer)
		}
	}
	checked := func() bool {
		return slices.ContainsFunc(ts.Sim.Limits().Queries, func(u sim.Usage) bool { return u.Profile == simluma.Name && u.Accepted >= 1 })
	}
	if err := ts.Sim.Await(ts.Ctx(t), checked); err != nil {
		t.Fatalf("the provider was not asked: %v", err)
	}
	if got := ts.Get(t, id); got.GetState() != refractv1.TaskState_TASK_STATE_RUNNING {
		t.Errorf("the task is %v, want RUNNING", got.GetState())
	}
}

// TestRoute_MovesOnWhenAProviderIsWithdrawn submits to a provider that has withdrawn the model. The route has another
// provider.
func TestRoute_MovesOnWhenAProviderIsWithdrawn(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		f.Route = []string{kie.Name, luma.Name}
		c.Script = func(s sim.Submission) sim.Script {
			if s.Profile == simkie.Name {
				return sim.Script{Code: 505}
			}
			return s.Directives
		}
	})
	first := ts.Submit(t, "").GetId() // It is refused and moves on.
	second := ts.Submit(t, "").GetId()
	for _, id := range []string{first, second} {
		if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Errorf("ended %v, want SUCCEEDED", last)
		}
		if got := ts.Get(t, id).GetProvider(); got != luma.Name {
			t.Errorf("the task ended at %s, want luma", got)
		}
	}
	if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByProfile); paid[simkie.Name] != 0 || paid[simluma.Name] != 2 {
		t.Errorf("paid %v, want 2 at luma", paid)
	}
}

// TestRoute_NeverMovesOnAfterAnUnknownOutcome loses the answer of a provider that accepted the task.
func TestRoute_NeverMovesOnAfterAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, e2etest.EveryProvider)
	id := ts.Submit(t, "[sim:drop-after]", e2etest.At(lumaagents.Name, luma.Name)).GetId()
	last := ts.End(t, id)
	if last.GetFailure().GetReason() != refractv1.FailureReason_FAILURE_REASON_OUTCOME_UNKNOWN || last.GetFailure().GetPayment() != refractv1.Payment_PAYMENT_UNKNOWN {
		t.Errorf("ended %v, want OUTCOME_UNKNOWN", last)
	}
	if n := len(ts.Sim.Ledger()); n != 1 {
		t.Errorf("%d submissions reached the providers, want 1", n)
	}
}

// TestAccounts_ShareTheWork submits more tasks than one account may have in flight.
func TestAccounts_ShareTheWork(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		f.Luma.APIKeys = []redact.Secret{e2etest.APIKey, "luma-2=second-key"}
		c.APIKeys = append(c.APIKeys, "second-key")
		c.Processing = time.Hour
	})
	for range 15 { // Luma allows ten per account.
		ts.Submit(t, "", e2etest.At(luma.Name))
	}
	perKey := func() map[string]int {
		counts := map[string]int{}
		for _, e := range ts.Sim.Ledger() {
			counts[e.Key]++
		}
		return counts
	}
	if err := ts.Sim.Await(ts.Ctx(t), func() bool { return len(ts.Sim.Ledger()) == 15 }); err != nil {
		t.Fatalf("%v are under way: %v", perKey(), err)
	}
	for key, n := range perKey() {
		if n < 5 || n > 10 {
			t.Errorf("account %q has %d of 15 tasks, want 5 to 10", key, n)
		}
	}
}

// TestCapabilities_AreChecked requests what the providers cannot do.
func TestCapabilities_AreChecked(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, e2etest.EveryProvider)
	strength := func(r *refractv1.SubmitTaskRequest) { r.Strength = refractv1.Strength_STRENGTH_REIMAGINE_2 }
	for _, tc := range []struct {
		name  string
		amend []func(*refractv1.SubmitTaskRequest)
		field string
	}{
		{"strength at kie", []func(*refractv1.SubmitTaskRequest){e2etest.At(kie.Name), strength}, "strength"},
		{"strength at a fallback", []func(*refractv1.SubmitTaskRequest){e2etest.At(luma.Name, kie.Name), strength}, "strength"},
		{"watermark at luma", []func(*refractv1.SubmitTaskRequest){e2etest.At(luma.Name), func(r *refractv1.SubmitTaskRequest) { r.Watermark = "w" }}, "watermark"},
		{"another's model", []func(*refractv1.SubmitTaskRequest){e2etest.At(lumaagents.Name), func(r *refractv1.SubmitTaskRequest) { r.Model = "ray-2" }}, "model"},
		{"first frame at kie", []func(*refractv1.SubmitTaskRequest){e2etest.At(kie.Name), func(r *refractv1.SubmitTaskRequest) { r.FirstFrameUri = "https://example.com/a.png" }}, "first_frame_uri"},
		{"a provider twice", []func(*refractv1.SubmitTaskRequest){e2etest.At(luma.Name, luma.Name)}, "fallback_providers[0]"},
		{"an unknown fallback", []func(*refractv1.SubmitTaskRequest){e2etest.At(luma.Name, "unknown")}, "fallback_providers[0]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			req := e2etest.GoodRequest()
			for _, f := range tc.amend {
				f(req)
			}
			_, err := ts.Tasks.SubmitTask(ts.Ctx(t), req)
			got := e2etest.RefusalOf(err)
			if got.Code != codes.InvalidArgument || !slices.Equal(got.Fields, []string{tc.field}) {
				t.Errorf("got %+v, want INVALID_ARGUMENT for %s", got, tc.field)
			}
			if strings.HasPrefix(tc.field, "fallback") == strings.Contains(err.Error(), "capability") {
				t.Errorf("the error is %v; it must name the capability if one is missing", err)
			}
		})
	}
	task := ts.Submit(t, "", e2etest.At(luma.Name), strength, func(r *refractv1.SubmitTaskRequest) { r.Model = "ray-flash-2" })
	ts.End(t, task.GetId())
	if e := ts.Sim.Ledger()[0]; e.Strength != "reimagine_2" || e.Model != "ray-flash-2" {
		t.Errorf("the provider got strength %q and model %q", e.Strength, e.Model)
	}
}
