package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

func TestREST_CallCarriesNamedHeadersAlone(t *testing.T) {
	t.Parallel()
	var got map[string][]string
	var left time.Duration
	s := serveInternal(t, &remote{submit: func(ctx context.Context, req *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error) {
		got = callersMetadata(ctx)
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-request-id", "r-1", "x-inner", "secret"))
		return &refractv1.SubmitTaskResponse{Task: &refractv1.Task{Id: taskID, RequestId: req.GetRequestId(), MaxAttempts: 1}}, nil
	}})

	a := s.do(t, http.MethodPost, "/v1/tasks", strings.NewReader(`{"requestId":"a <b>"}`),
		"Authorization", "Bearer token", "Traceparent", "00-1-2-01", "X-Request-Id", "r-1",
		"Cookie", "c=1", "X-Forwarded-For", "10.0.0.1", "X-Forwarded-Host", "evil", "Grpc-Metadata-Tenant", "other",
		"X-HTTP-Method-Override", "GET", "Accept", "text/html")

	want := map[string][]string{"authorization": {"Bearer token"}, "traceparent": {"00-1-2-01"}, "x-request-id": {"r-1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if left <= 0 || left > 30*time.Second {
		t.Errorf("the call had %v left, want up to 30 s", left)
	}
	wantBody := `{"task":{"id":"` + taskID + `","requestId":"a <b>","state":"TASK_STATE_UNSPECIFIED","revision":"0","prompt":"",` +
		`"watermark":"","provider":"","priority":0,"labels":{},"maxAttempts":1,"outputs":[],"fallbackProviders":[],"strength":"STRENGTH_UNSPECIFIED","model":"","firstFrameUri":"","webhookUri":""}}`
	if a.status != http.StatusOK || a.body != wantBody {
		t.Errorf("answer %d %s\nwant 200 %s", a.status, a.body, wantBody)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	if got := a.header.Values("X-Request-Id"); !cmp.Equal(got, []string{"r-1"}) {
		t.Errorf("X-Request-Id %q", got)
	}
	if strings.Contains(strings.ToLower(headerText(a.header)), "secret") {
		t.Errorf("other metadata of the server reached the caller: %v", a.header)
	}
}

// TestREST_TheNameOfAModelHasASlash asks for models by their paths.
func TestREST_TheNameOfAModelHasASlash(t *testing.T) {
	t.Parallel()
	var asked []string
	s := serveInternal(t, &remote{
		model: func(req *refractv1.GetModelRequest) (*refractv1.GetModelResponse, error) {
			asked = append(asked, req.GetModel())
			return &refractv1.GetModelResponse{}, nil
		},
		models: func(req *refractv1.ListModelsRequest) (*refractv1.ListModelsResponse, error) {
			asked = append(asked, fmt.Sprintf("all at %s: %t", req.GetProvider(), req.GetIncludeUnavailable()))
			return &refractv1.ListModelsResponse{}, nil
		},
	})
	for _, tc := range []struct {
		method, path string
		status       int
		asked        string // The model that is asked for; empty where the request is refused.
	}{
		{http.MethodGet, "/v1/models/luma/ray-2-modify", http.StatusOK, "luma/ray-2-modify"},
		{http.MethodGet, "/v1/models/luma%2Fray-2-modify", http.StatusOK, "luma/ray-2-modify"},
		{http.MethodGet, "/v1/models/fal-ai/luma-dream-machine/ray-2/modify", http.StatusOK, "fal-ai/luma-dream-machine/ray-2/modify"},
		{http.MethodGet, "/v1/models/owner/model:version", http.StatusOK, "owner/model:version"},
		{http.MethodGet, "/v1/models/owner/model:cancel", http.StatusOK, "owner/model:cancel"},
		{http.MethodGet, "/v1/models/plain", http.StatusOK, "plain"},
		{http.MethodGet, "/v1/models", http.StatusOK, "all at : false"},
		{http.MethodGet, "/v1/models?provider=kie&include_unavailable=true", http.StatusOK, "all at kie: true"},
		{http.MethodGet, "/v1/models?providers=kie", http.StatusBadRequest, ""},
		{http.MethodGet, "/v1/models/luma/ray-2-modify?model=other", http.StatusBadRequest, ""},
		{http.MethodPost, "/v1/models/luma/ray-2-modify", http.StatusMethodNotAllowed, ""},
	} {
		asked = nil
		a := s.do(t, tc.method, tc.path, nil)
		if got := strings.Join(asked, ","); a.status != tc.status || got != tc.asked {
			t.Errorf("%s %s: answered %d and asked for %q, want %d and %q: %s", tc.method, tc.path, a.status, got, tc.status, tc.asked, a.body)
		}
	}
}

func headerText(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b)
	return b.String()
}

func TestREST_RefusalArrivesAsStatusWithDetails(t *testing.T) {
	t.Parallel()
	info := func(reason string) string {
		return `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"` + reason + `","domain":"refract"}`
	}
	for name, tc := range map[string]struct {
		err    error
		status int
		header map[string]string
		body   string
	}{
		"credentials": {
			err:    refusal(t, codes.Unauthenticated, "CREDENTIALS_INVALID", "no token"),
			status: 401, header: map[string]string{"WWW-Authenticate": "Bearer", "Cache-Control": "no-store", "Content-Type": "application/json"},
			body: `{"code":16,"message":"no token","details":[` + info("CREDENTIALS_INVALID") + `]}`,
		},
		"conflict names fields": {
			err: refusal(t, codes.AlreadyExists, "REQUEST_ID_CONFLICT", "used before", &errdetails.BadRequest{
				FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "prompt", Description: "differs"}},
			}),
			status: 409,
			body: `{"code":6,"message":"used before","details":[` + info("REQUEST_ID_CONFLICT") +
				`,{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"prompt","description":"differs"}]}]}`,
		},
		"retry later": {
			err:    refusal(t, codes.Unavailable, "DATABASE_UNAVAILABLE", "later", retryAfter(1500*time.Millisecond)),
			status: 503, header: map[string]string{"Retry-After": "2"},
			body: `{"code":14,"message":"later","details":[` + info("DATABASE_UNAVAILABLE") +
				`,{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"}]}`,
		},
		"without a reason": {
			err:    status.Error(codes.Internal, "pq: password is hunter2"),
			status: 500, body: `{"code":13,"message":"internal error"}`,
		},
		"a detail of another program": {
			err: status.FromProto(&spb.Status{Code: int32(codes.NotFound), Message: "no such task", Details: []*anypb.Any{
				packed(t, &errdetails.ErrorInfo{Reason: "TASK_NOT_FOUND", Domain: "refract"}), {TypeUrl: "type.googleapis.com/other.Detail"},
			}}).Err(),
			status: 404, body: `{"code":5,"message":"no such task"}`,
		},
		"unknown": {
			err:    status.Error(codes.Unknown, "hunter2"),
			status: 500, body: `{"code":13,"message":"internal error"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveInternal(t, &remote{get: func(ctx context.Context, _ *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
				_ = grpc.SetHeader(ctx, metadata.Pairs("x-request-id", "r-2"))
				return nil, tc.err
			}})
			a := s.do(t, http.MethodGet, "/v1/tasks/"+taskID, nil)
			if a.status != tc.status || a.body != tc.body {
				t.Errorf("answer %d %s\nwant %d %s", a.status, a.body, tc.status, tc.body)
			}
			for key, want := range tc.header {
				if got := a.header.Get(key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
			if got := a.header.Get("X-Request-Id"); got != "r-2" {
				t.Errorf("X-Request-Id %q, want r-2", got)
			}
			if hidden := strings.Contains(tc.err.Error(), "hunter2"); hidden != strings.Contains(s.log.String(), "hunter2") {
				t.Errorf("the log has %q", s.log)
			}
		})
	}
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestREST_MalformedRequestIsInvalid(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{})
	for name, tc := range map[string]struct{ method, path, body, says string }{
		"unknown field":    {http.MethodPost, "/v1/tasks", `{"promt":"x"}`, `unknown field \"promt\"`},
		"second message":   {http.MethodPost, "/v1/tasks", `{} {}`, `unexpected token`},
		"not JSON":         {http.MethodPost, "/v1/tasks", `prompt=x`, `invalid value`},
		"not UTF-8":        {http.MethodPost, "/v1/tasks", "{\"prompt\":\"\xff\"}", `invalid UTF-8`},
		"query type":       {http.MethodGet, "/v1/tasks?pageSize=many", "", `many`},
		"path not UTF-8":   {http.MethodGet, "/v1/tasks/%ff", "", `not UTF-8`},
		"query not UTF-8":  {http.MethodGet, "/v1/tasks?pageToken=%ff", "", `not UTF-8`},
		"query escape":     {http.MethodGet, "/v1/tasks?pageToken=%zz", "", `not UTF-8`},
		"watch query type": {http.MethodGet, "/v1/tasks/x:watch?afterRevision=new", "", `new`},
		"watch not UTF-8":  {http.MethodGet, "/v1/tasks/%ff:watch", "", `not UTF-8`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, tc.method, tc.path, strings.NewReader(tc.body))
			if a.status != http.StatusBadRequest || !strings.Contains(a.body, tc.says) {
				t.Errorf("answer %d %s\nwant 400 that says %s", a.status, a.body, tc.says)
			}
			for _, part := range []string{
				`{"code":3,"message":"the request is invalid: `, `"reason":"INVALID_REQUEST","domain":"refract"`,
				`google.rpc.BadRequest","fieldViolations":[{"`,
			} {
				if !strings.Contains(a.body, part) {
					t.Errorf("answer %s lacks %s", a.body, part)
				}
			}
		})
	}
}

func TestREST_EmptyAndProtoNamedBodiesAreRead(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{submit: func(_ context.Context, req *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error) {
		return &refractv1.SubmitTaskResponse{Task: &refractv1.Task{RequestId: "got " + req.GetRequestId()}}, nil
	}})
	for body, want := range map[string]string{"": `"got "`, " \n": `"got "`, `{"request_id":"a"}`: `"got a"`} {
		if a := s.do(t, http.MethodPost, "/v1/tasks", strings.NewReader(body)); a.status != 200 || !strings.Contains(a.body, want) {
			t.Errorf("body %q: answer %d %s", body, a.status, a.body)
		}
	}
}

func TestREST_ListRepeatsQueryParameters(t *testing.T) {
	t.Parallel()
	var got *refractv1.ListTasksRequest
	s := serveInternal(t, &remote{list: func(_ context.Context, req *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
		got = req
		return &refractv1.ListTasksResponse{}, nil
	}})
	a := s.do(t, http.MethodGet, "/v1/tasks?pageSize=7&states=TASK_STATE_QUEUED&states=TASK_STATE_FAILED&labels[team]=a%2Fb", nil)
	if want := `{"tasks":[],"nextPageToken":""}`; a.status != 200 || a.body != want {
		t.Errorf("answer %d %s, want 200 %s", a.status, a.body, want)
	}
	if got.GetPageSize() != 7 || len(got.GetStates()) != 2 || got.GetLabels()["team"] != "a/b" {
		t.Errorf("the server got %v", got)
	}
}

func TestREST_UnknownRouteIsRefusedInTheSameShape(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{})
	notFound := `{"code":5,"message":"there is nothing at this path"}`
	notAllowed := `{"code":12,"message":"the path does not take this method"}`
	for name, tc := range map[string]struct {
		method, path string
		status       int
		body         string
	}{
		"no route":       {http.MethodGet, "/v2/tasks", 404, notFound},
		"double slash":   {http.MethodGet, "//v1/tasks", 404, notFound},
		"no callbacks":   {http.MethodPost, "/v1/callbacks/kie/token", 404, notFound},
		"no document":    {http.MethodGet, "/openapi.json", 404, notFound},
		"wrong method":   {http.MethodDelete, "/v1/tasks/" + taskID, 405, notAllowed},
		"post to health": {http.MethodPost, "/healthz", 405, notAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, tc.method, tc.path, nil,
				"Content-Type", "application/x-www-form-urlencoded", "X-HTTP-Method-Override", "GET")
			if a.status != tc.status || a.body != tc.body {
				t.Errorf("answer %d %s\nwant %d %s", a.status, a.body, tc.status, tc.body)
			}
		})
	}
}

func TestREST_RootSaysWhatIsHere(t *testing.T) {
	t.Parallel()
	a := serveInternal(t, &remote{}).do(t, http.MethodGet, "/", nil)
	if a.status != http.StatusOK || !strings.Contains(a.body, "/openapi.json") {
		t.Errorf("answer %d %s, want 200 and the addresses", a.status, a.body)
	}
}

func TestREST_BodyOverBoundIsRefusedWhole(t *testing.T) {
	t.Parallel()
	const bound = 3 << 20
	s := serveInternal(t, &remote{submit: func(_ context.Context, req *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error) {
		if len(req.GetPrompt()) != bound-len(`{"prompt":""}`) {
			t.Errorf("the server got a prompt of %d bytes", len(req.GetPrompt()))
		}
		return &refractv1.SubmitTaskResponse{}, nil
	}})
	body := func(size int) string { return `{"prompt":"` + strings.Repeat("x", size-len(`{"prompt":""}`)) + `"}` }
	unsized := func(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) } // Sent in chunks.

	for name, r := range map[string]io.Reader{"sized": strings.NewReader(body(bound)), "chunked": unsized(body(bound))} {
		if a := s.do(t, http.MethodPost, "/v1/tasks", r); a.status != http.StatusOK {
			t.Errorf("%s body at the bound: answer %d %s", name, a.status, a.body)
		}
	}
	for name, r := range map[string]io.Reader{"sized": strings.NewReader(body(bound + 1)), "chunked": unsized(body(bound + 1))} {
		a := s.do(t, http.MethodPost, "/v1/tasks", r)
		if want := `{"code":8,"message":"the body is too large"}`; a.status != http.StatusRequestEntityTooLarge || a.body != want {
			t.Errorf("%s body over the bound: answer %d %s\nwant 413 %s", name, a.status, a.body, want)
		}
	}
}
