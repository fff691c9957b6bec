package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/metrictest"
)

// TestRequestMetrics_CountByTemplate requests what clients request, and what strangers do: no label has their text.
func TestRequestMetrics_CountByTemplate(t *testing.T) {
	t.Parallel()
	metrics := metrictest.New(t)
	requests, err := httpapi.NewRequestMetrics(metrics)
	if err != nil {
		t.Fatal(err)
	}
	internal := serveInternal(t, &remote{
		get: func(_ context.Context, req *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
			if strings.HasPrefix(req.GetTaskId(), "panic") {
				return nil, status.Error(codes.Unavailable, "no database")
			}
			return &refractv1.GetTaskResponse{}, nil
		},
	}, func(cfg *httpapi.InternalConfig) { cfg.Requests = requests })
	ingress := serve(t, httpapi.NewIngress(httpapi.IngressConfig{
		Callbacks: &inbox{receive: func(context.Context, *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
			return &refractv1.ReceiveCallbackResponse{}, nil
		}, wrong: refusal(t, codes.Unauthenticated, "CALLBACK_TOKEN_INVALID", "no")}, MaxBody: bodyBound, Requests: requests, Log: (&logText{}).logger(),
	}), &logText{})
	for _, r := range []struct{ method, url string }{
		{http.MethodGet, internal.URL + "/v1/tasks/" + taskID},
		{http.MethodGet, internal.URL + "/v1/tasks/a-stranger's-text"},
		{http.MethodGet, internal.URL + "/v1/tasks/panic"},
		{http.MethodGet, internal.URL + "/v1/a-strangers-path"},
		{"STRANGE", internal.URL + "/v1/tasks/x"},
		{http.MethodHead, internal.URL + "/healthz"},
		{http.MethodPost, ingress.URL + callbackPath},
		{http.MethodPost, ingress.URL + "/v1/callbacks/a-stranger/guess"},
		{http.MethodGet, ingress.URL + "/.env"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), r.method, r.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	internal.Close() // An answer may arrive before its request is counted.
	ingress.Close()
	const name = "http_server_request_duration_seconds_count"
	want := map[string]float64{
		name + `{http_request_method="GET",http_response_status_code="200",http_route="/v1/tasks/{task_id}",listener="http"}`:                  2,
		name + `{http_request_method="GET",http_response_status_code="503",http_route="/v1/tasks/{task_id}",listener="http"}`:                  1,
		name + `{http_request_method="GET",http_response_status_code="404",http_route="_OTHER",listener="http"}`:                               1,
		name + `{http_request_method="_OTHER",http_response_status_code="405",http_route="_OTHER",listener="http"}`:                            1,
		name + `{http_request_method="HEAD",http_response_status_code="200",http_route="/healthz",listener="http"}`:                            1,
		name + `{http_request_method="POST",http_response_status_code="200",http_route="/v1/callbacks/{provider}/{token}",listener="ingress"}`: 1,
		name + `{http_request_method="POST",http_response_status_code="401",http_route="/v1/callbacks/{provider}/{token}",listener="ingress"}`: 1,
		name + `{http_request_method="GET",http_response_status_code="404",http_route="_OTHER",listener="ingress"}`:                            1,
	}
	if diff := cmp.Diff(want, metrics.Values(t, name)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	active := map[string]float64{`http_server_active_requests{listener="http"}`: 0, `http_server_active_requests{listener="ingress"}`: 0}
	if diff := cmp.Diff(active, metrics.Values(t, "http_server_active")); diff != "" {
		t.Errorf("requests in progress (-want +got):\n%s", diff)
	}
}
