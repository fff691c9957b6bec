package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestCatalog_AFileReplacesAnOffering replaces an offering by a file alone. A task with valid parameters runs to its end, and invalid
// parameters are refused by their paths. The model's other offering has no account, which is the second reason of a refusal.
func TestCatalog_AFileReplacesAnOffering(t *testing.T) {
	t.Parallel()
	file := e2etest.CatalogFile(t, e2etest.OwnModel)
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) { f.Catalog = []string{file} })
	for name, tc := range map[string]struct {
		parameters map[string]any
		fields     []string
	}{
		"a value that is not offered":    {map[string]any{"resolution": "8k"}, []string{"model", "model", "parameters.resolution"}},
		"two that are wrong":             {map[string]any{"resolution": "720p", "seed": -1, "colour": "red"}, []string{"model", "model", "parameters.colour", "parameters.seed"}},
		"an input that the catalog sets": {map[string]any{"resolution": "720p", "videoUrl": "https://example.com/other.mp4"}, []string{"model", "model", "parameters.videoUrl"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := e2etest.GoodRequest()
			e2etest.WithParameters(tc.parameters)(req)
			_, err := ts.Tasks.SubmitTask(ts.Ctx(t), req)
			got := e2etest.RefusalOf(err)
			slices.Sort(got.Fields)
			if got.Code != codes.InvalidArgument || !slices.Equal(got.Fields, tc.fields) {
				t.Errorf("got %+v, want INVALID_ARGUMENT for %q", got, tc.fields)
			}
		})
	}
	task := ts.Submit(t, "", e2etest.WithParameters(map[string]any{"resolution": "720p", "seed": 7}))
	ts.End(t, task.GetId())
	if got := ts.Get(t, task.GetId()); got.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED || got.GetParameters().GetFields()["seed"].GetNumberValue() != 7 {
		t.Errorf("the task ended as %s with the parameters %v, want SUCCEEDED and a seed of 7", got.GetState(), got.GetParameters())
	}
	again := ts.Submit(t, "", e2etest.WithParameters(map[string]any{"seed": 7, "resolution": "720p"}), func(r *refractv1.SubmitTaskRequest) { r.RequestId = task.GetRequestId() })
	if again.GetId() != task.GetId() {
		t.Errorf("the same request is task %s, want %s", again.GetId(), task.GetId())
	}
}

// TestMarket_RunsThroughTheAccountOfKie runs tasks of kie's market and of Luma Modify through one account. Older pages of the
// market name the balance of the account in callbacks, which must not be stored.
func TestMarket_RunsThroughTheAccountOfKie(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		credits simkie.Credits
		poll    time.Duration
		prompt  string
		cost    *refractv1.Cost
	}{
		"called back": {simkie.CreditsConsumed, 0, "", &refractv1.Cost{Amount: "1", Unit: "credits"}},
		"checked":     {simkie.CreditsConsumed, 300 * time.Millisecond, "[sim:never]", &refractv1.Cost{Amount: "1", Unit: "credits"}},
		"an old page": {simkie.CreditsOld, 0, "", nil}, // The signature does not cover what the callback says of it.
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
				c.Kie.Credits, c.Credits, f.KIE.Poll = tc.credits, 59_160_000, tc.poll
			})
			wan := func(parameters map[string]any) func(*refractv1.SubmitTaskRequest) {
				return func(r *refractv1.SubmitTaskRequest) {
					e2etest.WithParameters(parameters)(r)
					r.Model = "wan/2-7-videoedit"
				}
			}
			req := e2etest.GoodRequest()
			wan(map[string]any{"resolution": "8k"})(req)
			_, err := ts.Tasks.SubmitTask(ts.Ctx(t), req)
			if got := e2etest.RefusalOf(err); got.Code != codes.InvalidArgument || !slices.Contains(got.Fields, "parameters.resolution") {
				t.Errorf("got %+v, want INVALID_ARGUMENT for parameters.resolution", got)
			}
			ids := []string{
				ts.Submit(t, tc.prompt, wan(map[string]any{"resolution": "720p", "seed": 7})).GetId(),
				ts.Submit(t, tc.prompt, e2etest.At(kie.Name)).GetId(),
			}
			for _, id := range ids {
				if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
					t.Errorf("the task ended as %v, want SUCCEEDED", last)
				}
			}
			if got := ts.Get(t, ids[0]).GetAttempt().GetCost(); !proto.Equal(got, tc.cost) {
				t.Errorf("the attempt cost %v, want %v", got, tc.cost)
			}
			if got := ts.Get(t, ids[1]).GetAttempt().GetCost(); got != nil {
				t.Errorf("the attempt of Luma Modify cost %v, which the provider does not say", got)
			}
			entries := ts.Sim.Ledger()
			at := slices.IndexFunc(entries, func(e sim.Entry) bool { return e.Model == "wan/2-7-videoedit" })
			if len(entries) != 2 || at < 0 {
				t.Fatalf("the provider got %+v, want one task of each model", entries)
			}
			var input map[string]any
			if err := json.Unmarshal(entries[at].Input, &input); err != nil {
				t.Fatal(err)
			}
			delete(input, "prompt")
			want := map[string]any{"video_url": entries[at].VideoURL, "resolution": "720p", "seed": 7.0, "nsfw_checker": true}
			if diff := cmp.Diff(want, input); diff != "" {
				t.Errorf("input (-want +got):\n%s", diff)
			}
			if tc.prompt == "" {
				delivered := func() bool { return len(ts.Sim.Deliveries()) >= 2 && ts.Sim.Delivering() == 0 }
				if err := ts.Sim.Await(ts.Ctx(t), delivered); err != nil {
					t.Fatal(err)
				}
			}
			bodies := postgrestest.Value[string](t, ts.Pool, "SELECT coalesce(string_agg(convert_from(body, 'UTF8'), ' '), '') FROM callback")
			if strings.Contains(bodies, `remainedCredits":5`) || strings.Contains(bodies, "remainedCredits") != (tc.credits == simkie.CreditsOld) {
				t.Errorf("the inbox has the balance of the account: %s", bodies)
			}
		})
	}
}

// TestMarket_AWithdrawnModelLeavesTheAccountOpen withdraws one of the account's models.
func TestMarket_AWithdrawnModelLeavesTheAccountOpen(t *testing.T) {
	t.Parallel()
	control := simkie.NewControl()
	control.Withdraw("wan/2-7-videoedit")
	ts := e2etest.Start(t, func(_ *server.Config, c *e2etest.SimConfig) { c.Kie.Control = control })
	gone := ts.Submit(t, "gone", func(r *refractv1.SubmitTaskRequest) { r.Model = "wan/2-7-videoedit" }).GetId()
	refused := func() bool {
		return slices.ContainsFunc(ts.Sim.Ledger(), func(e sim.Entry) bool { return e.Model == "wan/2-7-videoedit" && e.Code == 505 })
	}
	if err := ts.Sim.Await(ts.Ctx(t), refused); err != nil {
		t.Fatal(err)
	}
	if last := ts.End(t, ts.Submit(t, "", e2etest.At(kie.Name)).GetId()); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("a task of another model ended as %v, want SUCCEEDED", last)
	}
	if got := ts.Get(t, gone); got.GetFailure() != nil {
		t.Errorf("the task of the withdrawn model failed: %v", got.GetFailure())
	}
	if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt); paid["gone"] != 0 {
		t.Errorf("a task that the provider refused was paid for: %v", paid)
	}
}

// TestModels_AreTheSameOverEverySurface lists models and asks for one over gRPC, REST and the command line, as a tenant.
func TestModels_AreTheSameOverEverySurface(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		f.LumaAgents, f.Fal = server.Upstream{}, server.Fal{}
		f.Route = []string{"luma/ray-2-modify=kie,luma"}
	})
	client := refractv1.NewModelServiceClient(e2etest.Dial(t, ts.GRPCAddr()))
	for _, tc := range []struct {
		req    *refractv1.ListModelsRequest
		query  string
		models []string
	}{
		{&refractv1.ListModelsRequest{}, "", []string{
			"google/gemini-omni-video", "happyhorse/video-edit", "kling/3.0-omni-transformation", "luma/ray-2-flash-modify",
			"luma/ray-2-modify", "wan/2-6-video-to-video", "wan/2-7-videoedit",
		}},
		{&refractv1.ListModelsRequest{Provider: "luma"}, "?provider=luma", []string{"luma/ray-2-flash-modify", "luma/ray-2-modify"}},
		{&refractv1.ListModelsRequest{PageSize: 1}, "?page_size=1", []string{"google/gemini-omni-video"}},
		{
			&refractv1.ListModelsRequest{IncludeUnavailable: true, Provider: "luma-agents"}, "?includeUnavailable=true&provider=luma-agents",
			[]string{"luma/ray-3.2-edit"},
		},
	} {
		listed, err := client.ListModels(ts.Ctx(t), tc.req)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range listed.GetModels() {
			names = append(names, m.GetName())
		}
		if !slices.Equal(names, tc.models) {
			t.Errorf("%v lists %q, want %q", tc.req, names, tc.models)
		}
		httpStatus, answer := ts.Rest(t, http.MethodGet, "/v1/models"+tc.query, "")
		var over refractv1.ListModelsResponse
		if err := protojson.Unmarshal(answer, &over); err != nil || httpStatus != http.StatusOK || !proto.Equal(listed, &over) {
			t.Errorf("REST answered %d, %v: %s\nwant %v", httpStatus, err, answer, listed)
		}
	}

	got, err := client.GetModel(ts.Ctx(t), &refractv1.GetModelRequest{Model: "luma/ray-2-modify"})
	if err != nil {
		t.Fatal(err)
	}
	if route := got.GetModel().GetRoute(); !slices.Equal(route, []string{"kie", "luma"}) {
		t.Errorf("the route is %q, want that of the operator", route)
	}
	httpStatus, answer := ts.Rest(t, http.MethodGet, "/v1/models/luma/ray-2-modify", "")
	var over refractv1.GetModelResponse
	if err := protojson.Unmarshal(answer, &over); err != nil || httpStatus != http.StatusOK || !proto.Equal(got, &over) {
		t.Errorf("REST answered %d, %v: %s\nwant %v", httpStatus, err, answer, got)
	}
	exit, out, errs := e2etest.Run(t, "model", "get", "luma/ray-2-modify", "--json", "--address="+ts.GRPCAddr(), "--token="+ts.Token)
	var printed refractv1.Model
	if err := protojson.Unmarshal([]byte(out), &printed); err != nil || exit != 0 || !proto.Equal(got.GetModel(), &printed) {
		t.Errorf("the command line ended with %d, %v: %s%s\nwant %v", exit, err, out, errs, got)
	}
	if task := ts.Submit(t, "", func(r *refractv1.SubmitTaskRequest) { r.Model = "luma/ray-2-modify" }); task.GetProvider() != "kie" {
		t.Errorf("a task of the model goes to %s first, want kie", task.GetProvider())
	}
}

// TestModels_AreRefused runs one table over gRPC and over REST: the same code, reason and fields.
func TestModels_AreRefused(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	client := refractv1.NewModelServiceClient(e2etest.Dial(t, ts.GRPCAddr()))
	list := func(req *refractv1.ListModelsRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := client.ListModels(ctx, req); return err }
	}
	get := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.GetModel(ctx, &refractv1.GetModelRequest{Model: name})
			return err
		}
	}
	for name, tc := range map[string]struct {
		call   func(context.Context) error
		path   string
		token  string
		want   e2etest.Refusal
		status int
	}{
		"a list without credentials":  {list(&refractv1.ListModelsRequest{}), "/v1/models", "", e2etest.Refusal{Code: codes.Unauthenticated, Reason: "CREDENTIALS_INVALID"}, http.StatusUnauthorized},
		"a model without credentials": {get("luma/ray-2-modify"), "/v1/models/luma/ray-2-modify", "", e2etest.Refusal{Code: codes.Unauthenticated, Reason: "CREDENTIALS_INVALID"}, http.StatusUnauthorized},
		"an unknown model":            {get("acme/edit"), "/v1/models/acme/edit", ts.Token, e2etest.Refusal{Code: codes.NotFound, Reason: "MODEL_NOT_FOUND"}, http.StatusNotFound},
		"a page that is too large":    {list(&refractv1.ListModelsRequest{PageSize: 501}), "/v1/models?page_size=501", ts.Token, e2etest.Refusal{Code: codes.InvalidArgument, Reason: "INVALID_REQUEST", Fields: []string{"page_size"}}, http.StatusBadRequest},
		"a forged page token":         {list(&refractv1.ListModelsRequest{PageToken: "x"}), "/v1/models?page_token=x", ts.Token, e2etest.Refusal{Code: codes.InvalidArgument, Reason: "INVALID_REQUEST", Fields: []string{"page_token"}}, http.StatusBadRequest},
		"a provider that is no name":  {list(&refractv1.ListModelsRequest{Provider: "KIE"}), "/v1/models?provider=KIE", ts.Token, e2etest.Refusal{Code: codes.InvalidArgument, Reason: "INVALID_REQUEST", Fields: []string{"provider"}}, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, e2etest.RefusalOf(tc.call(e2etest.As(ts.Anonymous(t), tc.token)))); diff != "" {
				t.Errorf("gRPC (-want +got):\n%s", diff)
			}
			httpStatus, _, answer := e2etest.Request(t, http.MethodGet, "http://"+ts.HTTPAddr()+tc.path, "", "Authorization", "Bearer "+tc.token)
			if diff := cmp.Diff(tc.want, e2etest.DecodeRefusal(t, answer)); diff != "" || httpStatus != tc.status {
				t.Errorf("REST answered %d, want %d (-want +got):\n%s", httpStatus, tc.status, diff)
			}
		})
	}
}

// TestOperators_CloseAndOpenAnOffering closes the only offering of a model that has an account, by the command line. A queued task waits
// until it is opened, and a new one is refused with the operator's reason.
func TestOperators_CloseAndOpenAnOffering(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	ops := ts.Operator(t)
	const model = "luma/ray-2-modify"
	ofModel := func(r *refractv1.SubmitTaskRequest) { r.Model = model }
	ops.Command(t, "provider", "pause", "kie", "--reason=invoice")
	queued := ts.Submit(t, "a snowy street", ofModel)
	if out := ops.Command(t, "model", "close", model, "kie", "--reason=prices rose"); !strings.Contains(out, "CLOSED") {
		t.Errorf("model close says %q", out)
	}
	ops.Command(t, "provider", "resume", "kie")
	if w := ts.Waits(t, queued.GetId(), refractv1.WaitingCause_WAITING_CAUSE_OFFERING_CLOSED); !strings.Contains(w.GetMessage(), "prices rose") {
		t.Errorf("the task waits for %q, want the operator's reason", w.GetMessage())
	}
	req := e2etest.GoodRequest()
	ofModel(req)
	if _, err := ts.Tasks.SubmitTask(ts.Ctx(t), req); !strings.Contains(status.Convert(err).Message(), "prices rose") {
		t.Errorf("SubmitTask = %v, want the operator's reason", err)
	}
	if out := ops.Command(t, "model", "open", model, "kie"); strings.Contains(out, "CLOSED") {
		t.Errorf("model open says %q", out)
	}
	if got := ts.End(t, queued.GetId()); got.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("the task ended as %s, want SUCCEEDED", got.GetState())
	}
}
