package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/identity"
)

// serveInProcess serves the in-process server, and returns a connection to it.
func serveInProcess(t *testing.T, callers *Callers, operators *OperatorService) *grpc.ClientConn {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	server := NewInProcessServer(Config{
		Tasks: &TaskService{}, Models: &ModelService{}, Webhooks: &WebhookService{}, Operators: operators, Callbacks: &CallbackService{},
		Statuses: testStatuses(log), Meters: noop.NewMeterProvider(), Log: log,
	}, callers)
	lis := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:api", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-served
	})
	return conn
}

// TestCallers_ARequestIsAuthenticatedOnce counts, since each authentication is a call of the tenant's rate. The request has a body, which
// is read after the authentication.
func TestCallers_ARequestIsAuthenticatedOnce(t *testing.T) {
	t.Parallel()
	var authentications atomic.Int32
	callers := NewCallers(authenticatorFunc(func(authorization string) (*identity.Identity, error) {
		authentications.Add(1)
		return testTenants(authorization)
	}), testStatuses(slog.New(slog.DiscardHandler)), nil)
	table := &operatorTable{}
	conn := serveInProcess(t, callers, NewOperatorService(OperatorServiceConfig{Tenants: table, Admit: func() {}, Log: slog.New(slog.DiscardHandler)}))
	site := httptest.NewServer(httpapi.NewInternal(httpapi.InternalConfig{
		Conn: conn, Log: slog.New(slog.DiscardHandler), Enter: func(r *http.Request) httpapi.Caller { return callers.Enter(r) },
	}))
	defer site.Close()
	for authorization, want := range map[string]int{"Bearer operator": http.StatusOK, "Bearer good": http.StatusForbidden, "Bearer bad": http.StatusUnauthorized} {
		authentications.Store(0)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, site.URL+"/v1/tenants/acme", strings.NewReader(`{"weight":2}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", authorization)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if n := authentications.Load(); resp.StatusCode != want || n != 1 {
			t.Errorf("%s: answered %d after %d authentications, want %d after one", authorization, resp.StatusCode, n, want)
		}
	}
	if len(callers.open) != 0 {
		t.Errorf("%d callers are kept after their requests", len(callers.open))
	}
}

// TestCallers_OnlyAnOpenRequestHasACaller makes calls at the in-process server without the name of a caller, with an invented one, and
// with that of a request that is over. An Authorization header changes nothing.
func TestCallers_OnlyAnOpenRequestHasACaller(t *testing.T) {
	t.Parallel()
	callers := NewCallers(testTenants, testStatuses(slog.New(slog.DiscardHandler)), nil)
	client := refractv1.NewOperatorServiceClient(serveInProcess(t, callers, NewOperatorService(OperatorServiceConfig{Tenants: &operatorTable{}, Log: slog.New(slog.DiscardHandler)})))
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	req.Header.Set("Authorization", "Bearer operator")
	open, over := callers.Enter(req), callers.Enter(req)
	over.Leave()
	defer open.Leave()
	for name, tc := range map[string]struct {
		md    metadata.MD
		known bool
	}{
		"an open request":        {open.Metadata(), true},
		"a request that is over": {over.Metadata(), false},
		"an invented name":       {metadata.Pairs(callerKey, "x"), false},
		"two names":              {metadata.Join(open.Metadata(), over.Metadata()), false},
		"no name":                {metadata.Pairs("authorization", "Bearer operator"), false},
	} {
		_, err := client.ListTenants(metadata.NewOutgoingContext(t.Context(), tc.md), &refractv1.ListTenantsRequest{})
		if known := status.Code(err) != codes.Unauthenticated; known != tc.known { // The table of tenants is none.
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCallers_HeadersOfARequestNameNoOtherCaller sends the name of an operator's open request, which is a secret, in every header that a
// gateway may pass on as metadata.
func TestCallers_HeadersOfARequestNameNoOtherCaller(t *testing.T) {
	t.Parallel()
	callers := NewCallers(testTenants, testStatuses(slog.New(slog.DiscardHandler)), nil)
	conn := serveInProcess(t, callers, NewOperatorService(OperatorServiceConfig{Tenants: &operatorTable{}, Log: slog.New(slog.DiscardHandler)}))
	site := httptest.NewServer(httpapi.NewInternal(httpapi.InternalConfig{
		Conn: conn, Log: slog.New(slog.DiscardHandler), Enter: func(r *http.Request) httpapi.Caller { return callers.Enter(r) },
	}))
	defer site.Close()
	operators := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	operators.Header.Set("Authorization", "Bearer operator")
	open := callers.Enter(operators)
	defer open.Leave()
	for _, header := range []string{callerKey, "Grpc-Metadata-" + callerKey, "Grpcgateway-" + callerKey, "Grpc-Metadata-Authorization", "Proxy-Authorization"} {
		for authorization, want := range map[string]int{"Bearer good": http.StatusForbidden, "": http.StatusUnauthorized} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site.URL+"/v1/tenants", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", authorization)
			req.Header.Set(header, open.name)
			if strings.HasSuffix(header, "Authorization") {
				req.Header.Set(header, "Bearer operator")
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s with Authorization %q: answered %d, want %d", header, authorization, resp.StatusCode, want)
			}
		}
	}
}
