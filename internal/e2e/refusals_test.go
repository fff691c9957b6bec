package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
)

// TestSubmit_RefusesInvalidRequests runs one table over gRPC and over REST: the same code, reason and fields.
func TestSubmit_RefusesInvalidRequests(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) {
		f.AllowPrivate, f.CallbackURL = false, "https://refract.example.com"
	})
	first := ts.Submit(t, "", func(r *refractv1.SubmitTaskRequest) { r.RequestId = "taken" })
	uri := func(s string) func(*refractv1.SubmitTaskRequest) {
		return func(r *refractv1.SubmitTaskRequest) {
			r.Source = &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: s}}
		}
	}
	for _, tc := range []struct {
		name   string
		amend  func(*refractv1.SubmitTaskRequest)
		code   codes.Code
		reason string
		fields []string
	}{
		{"no prompt", func(r *refractv1.SubmitTaskRequest) { r.Prompt = "" }, codes.InvalidArgument, "INVALID_REQUEST", []string{"prompt"}},
		{"a blank prompt", func(r *refractv1.SubmitTaskRequest) { r.Prompt = " \n" }, codes.InvalidArgument, "INVALID_REQUEST", []string{"prompt"}},
		{"an over-long prompt", func(r *refractv1.SubmitTaskRequest) { r.Prompt = strings.Repeat("x", 6001) }, codes.InvalidArgument, "INVALID_REQUEST", []string{"prompt"}},
		{"a NUL in the prompt", func(r *refractv1.SubmitTaskRequest) { r.Prompt = "a\x00b" }, codes.InvalidArgument, "INVALID_REQUEST", []string{"prompt"}},
		{"a strength that the provider lacks", func(r *refractv1.SubmitTaskRequest) { r.Strength = refractv1.Strength_STRENGTH_FLEX_1 }, codes.InvalidArgument, "INVALID_REQUEST", []string{"strength"}},
		{"a model that the provider lacks", func(r *refractv1.SubmitTaskRequest) { r.Model = "ray-2" }, codes.InvalidArgument, "INVALID_REQUEST", []string{"model", "model", "model"}},
		{"a fallback without a provider", func(r *refractv1.SubmitTaskRequest) { r.FallbackProviders = []string{"kie"} }, codes.InvalidArgument, "INVALID_REQUEST", []string{"fallback_providers"}},
		{"no source", func(r *refractv1.SubmitTaskRequest) { r.Source = nil }, codes.InvalidArgument, "INVALID_REQUEST", []string{"source"}},
		{"an empty source", func(r *refractv1.SubmitTaskRequest) { r.Source = &refractv1.SubmitTaskSource{} }, codes.InvalidArgument, "INVALID_REQUEST", []string{"source.location"}},
		{"a source that is no URL", uri("clip.mp4"), codes.InvalidArgument, "INVALID_REQUEST", []string{"source.uri"}},
		{"a source over plain http", uri("http://example.com/clip.mp4"), codes.InvalidArgument, "INVALID_REQUEST", []string{"source.uri"}},
		{"a source on loopback", uri("https://127.0.0.1/clip.mp4"), codes.InvalidArgument, "INVALID_REQUEST", []string{"source.uri"}},
		{"a source on a private address", uri("https://10.0.0.7/clip.mp4"), codes.InvalidArgument, "INVALID_REQUEST", []string{"source.uri"}},
		{"a source at the cloud's metadata", uri("https://169.254.169.254/latest"), codes.InvalidArgument, "INVALID_REQUEST", []string{"source.uri"}},
		{"a first frame on a private address", func(r *refractv1.SubmitTaskRequest) { r.FirstFrameUri = "https://10.0.0.7/frame.png" }, codes.InvalidArgument, "INVALID_REQUEST", []string{"first_frame_uri"}},
		{"a webhook on a private address", func(r *refractv1.SubmitTaskRequest) { r.WebhookUri = "https://10.0.0.7/hook" }, codes.InvalidArgument, "INVALID_REQUEST", []string{"webhook_uri"}},
		{"a webhook that no secret signs", func(r *refractv1.SubmitTaskRequest) { r.WebhookUri = "https://example.com/hook" }, codes.FailedPrecondition, "WEBHOOK_SECRET_MISSING", nil},
		{"an over-long source", uri("https://example.com/" + strings.Repeat("x", 2048)), codes.InvalidArgument, "INVALID_REQUEST", []string{"source.uri"}},
		{"an unknown provider", func(r *refractv1.SubmitTaskRequest) { r.Provider = "unknown" }, codes.InvalidArgument, "INVALID_REQUEST", []string{"provider"}},
		{"no request id", func(r *refractv1.SubmitTaskRequest) { r.RequestId = "" }, codes.InvalidArgument, "INVALID_REQUEST", []string{"request_id"}},
		{"a request id with a blank", func(r *refractv1.SubmitTaskRequest) { r.RequestId = "a b" }, codes.InvalidArgument, "INVALID_REQUEST", []string{"request_id"}},
		{"a label key with capitals", func(r *refractv1.SubmitTaskRequest) { r.Labels = map[string]string{"Team": "x"} }, codes.InvalidArgument, "INVALID_REQUEST", []string{`labels["Team"]`}},
		{"an over-long label", func(r *refractv1.SubmitTaskRequest) {
			r.Labels = map[string]string{"team": strings.Repeat("x", 129)}
		}, codes.InvalidArgument, "INVALID_REQUEST", []string{`labels["team"]`}},
		{"too high a priority", func(r *refractv1.SubmitTaskRequest) { r.Priority = 101 }, codes.InvalidArgument, "INVALID_REQUEST", []string{"priority"}},
		{"too short a deadline", func(r *refractv1.SubmitTaskRequest) { r.Deadline = durationpb.New(1) }, codes.InvalidArgument, "INVALID_REQUEST", []string{"deadline"}},
		{"too many attempts", func(r *refractv1.SubmitTaskRequest) { r.MaxAttempts = 6 }, codes.InvalidArgument, "INVALID_REQUEST", []string{"max_attempts"}},
		{"several faults at once", func(r *refractv1.SubmitTaskRequest) { r.Prompt, r.MaxAttempts = "", -1 }, codes.InvalidArgument, "INVALID_REQUEST", []string{"prompt", "max_attempts"}},
		{"a request id with another payload", func(r *refractv1.SubmitTaskRequest) {
			r.RequestId, r.Prompt, r.Priority = "taken", "Something else", 1
		}, codes.AlreadyExists, "REQUEST_ID_CONFLICT", []string{"prompt", "priority"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			req := e2etest.GoodRequest()
			tc.amend(req)

			_, err := ts.Tasks.SubmitTask(ts.Ctx(t), req)
			got := e2etest.RefusalOf(err)
			want := e2etest.Refusal{Code: tc.code, Reason: tc.reason, Fields: tc.fields}
			if tc.code == codes.AlreadyExists {
				want.TaskID = first.GetId()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("gRPC (-want +got):\n%s", diff)
			}

			body, err := protojson.Marshal(req)
			if err != nil {
				t.Fatal(err)
			}
			httpStatus, answer := ts.Rest(t, http.MethodPost, "/v1/tasks", string(body))
			if diff := cmp.Diff(want, e2etest.DecodeRefusal(t, answer)); diff != "" {
				t.Errorf("REST (-want +got):\n%s", diff)
			}
			if wantStatus := map[codes.Code]int{codes.InvalidArgument: 400, codes.FailedPrecondition: 400, codes.AlreadyExists: 409}[tc.code]; httpStatus != wantStatus {
				t.Errorf("REST answered %d, want %d", httpStatus, wantStatus)
			}
		})
	}
}

// TestSubmit_RepeatedReturnsTheSameTask submits one request id over both surfaces.
func TestSubmit_RepeatedReturnsTheSameTask(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	req := e2etest.GoodRequest()
	first, err := ts.Tasks.SubmitTask(ts.Ctx(t), req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	httpStatus, answer := ts.Rest(t, http.MethodPost, "/v1/tasks", string(body))
	var second refractv1.SubmitTaskResponse
	if err := protojson.Unmarshal(answer, &second); err != nil || httpStatus != http.StatusOK {
		t.Fatalf("REST answered %d, %v: %s", httpStatus, err, answer)
	}
	if first.GetTask().GetId() != second.GetTask().GetId() {
		t.Errorf("made tasks %s and %s, want one", first.GetTask().GetId(), second.GetTask().GetId())
	}
}

// TestTenants_SeeOnlyTheirOwn requests another tenant's task in every possible way.
func TestTenants_SeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	id := ts.Submit(t, "").GetId()
	ts.End(t, id)
	other := e2etest.As(t.Context(), e2etest.CreateToken(t, ts.Pool, "other"))
	for name, call := range map[string]func() error{
		"get": func() error { _, err := ts.Tasks.GetTask(other, &refractv1.GetTaskRequest{TaskId: id}); return err },
		"cancel": func() error {
			_, err := ts.Tasks.CancelTask(other, &refractv1.CancelTaskRequest{TaskId: id})
			return err
		},
		"retry": func() error { _, err := ts.Tasks.RetryTask(other, &refractv1.RetryTaskRequest{TaskId: id}); return err },
		"explain": func() error {
			_, err := ts.Tasks.ExplainTask(other, &refractv1.ExplainTaskRequest{TaskId: id})
			return err
		},
		"events": func() error {
			_, err := ts.Tasks.ListTaskEvents(other, &refractv1.ListTaskEventsRequest{TaskId: id})
			return err
		},
		"watch": func() error {
			stream, err := ts.Tasks.WatchTask(other, &refractv1.WatchTaskRequest{TaskId: id})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	} {
		if got := e2etest.RefusalOf(call()); got.Code != codes.NotFound || got.Reason != "TASK_NOT_FOUND" {
			t.Errorf("%s of another tenant's task gave %+v, want NOT_FOUND", name, got)
		}
	}
	list, err := ts.Tasks.ListTasks(other, &refractv1.ListTasksRequest{})
	if err != nil || len(list.GetTasks()) != 0 {
		t.Errorf("the list of another tenant has %v, %v", list.GetTasks(), err)
	}
	url := "http://" + ts.HTTPAddr() + "/v1/tasks/" + id + "/outputs/0"
	if status, _, _ := e2etest.Request(t, http.MethodGet, url, "", "Authorization", "Bearer "+e2etest.CreateToken(t, ts.Pool, "third")); status != http.StatusNotFound {
		t.Errorf("a download of another tenant's output gave %d, want 404", status)
	}
}

// TestCredentials_AreRequired calls without credentials, with wrong ones and with revoked ones.
func TestCredentials_AreRequired(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	revoked := e2etest.CreateToken(t, ts.Pool, "leaver")
	if _, err := ts.Pool.Exec(t.Context(), `UPDATE api_token SET revoke_time = now() WHERE tenant = 'leaver'`); err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{
		"none": "", "not a token": "Bearer nonsense", "a forged token": "Bearer refract_" + strings.Repeat("A", 43),
		"another scheme": "Basic " + ts.Token, "a revoked token": "Bearer " + revoked,
	} {
		status, _, answer := e2etest.Request(t, http.MethodGet, "http://"+ts.HTTPAddr()+"/v1/tasks", "", "Authorization", header)
		if got := e2etest.DecodeRefusal(t, answer); status != http.StatusUnauthorized || got.Reason != "CREDENTIALS_INVALID" {
			t.Errorf("%s: got %d and %+v, want 401", name, status, got)
		}
	}
}

// TestErrors_AreTheSameOverREST checks one refusal as a whole, details included.
func TestErrors_AreTheSameOverREST(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	const missing = "00000000-0000-7000-8000-000000000000"
	_, err := ts.Tasks.GetTask(ts.Ctx(t), &refractv1.GetTaskRequest{TaskId: missing})
	httpStatus, answer := ts.Rest(t, http.MethodGet, "/v1/tasks/"+missing, "")
	over := status.New(0, "").Proto()
	if err := protojson.Unmarshal(answer, over); err != nil || httpStatus != http.StatusNotFound {
		t.Fatalf("REST answered %d, %v: %s", httpStatus, err, answer)
	}
	if want := status.Convert(err).Proto(); !proto.Equal(want, over) {
		t.Errorf("REST answered %v, gRPC %v", over, want)
	}
}
