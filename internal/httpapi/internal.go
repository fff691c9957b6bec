package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// InternalConfig says what the internal handler serves. Conn, Outputs and Log are required.
type InternalConfig struct {
	// Conn leads to the gRPC server that has TaskService and OperatorService.
	Conn grpc.ClientConnInterface
	// Outputs opens the files to download.
	Outputs Outputs
	// OpenAPI is the document served as /openapi.json; without it there is none.
	OpenAPI []byte
	// Ready tells why the process can't serve now, or nil. It is asked at every /readyz and may take up to
	// 5 seconds. Without it the process is always ready.
	Ready func(ctx context.Context) error
	// Authenticate returns the status of a caller whose Authorization header names nobody. It is asked before a body is read;
	// the gRPC server asks again. Without it all bodies are read.
	Authenticate func(ctx context.Context, authorization string) error
	// Bind returns a context that also ends when the credentials of an Authorization header are revoked; stop must be called.
	// The error is a status, as that of Authenticate. Without it nothing that has begun ends with its credentials.
	Bind func(ctx context.Context, authorization string) (live context.Context, stop func(), err error)
	// Open means that nobody authenticates. Requests that a web page of another site could make are refused then; BaseURL
	// is the address at which callers reach the service besides loopback ones.
	Open    bool
	BaseURL string
	// Metrics serves /metrics; without it there are none.
	Metrics http.Handler
	// Log takes what callers must not see.
	Log *slog.Logger
}

// NewInternal returns the handler of the internal listener:
//
//	/v1/tasks…                              TaskService as REST, by grpc-gateway
//	/v1/providers… tenants… callbacks…      OperatorService, likewise
//	/v1/tasks:watch                         a stream: lines of JSON, or server-sent events
//	/v1/tasks/{task_id}:watch               the same of one task
//	/v1/tasks/{task_id}/outputs/{index}     a file, with Range
//	/v1/sources/{upload_id}                 an upload, resumable
//	/v1/outputs/{token}                     a file, by a link that is its own credential
//	/  /openapi.json  /healthz  /readyz  /metrics
//
// The list of what is here, metrics and health ask for no credentials.
func NewInternal(cfg InternalConfig) http.Handler {
	refusals := refuser{log: cfg.Log, challenge: "Bearer"}
	tasks := refractv1.NewTaskServiceClient(timeoutConn{cfg.Conn})
	all := newRoutes(refusals, tasks, refractv1.NewOperatorServiceClient(timeoutConn{cfg.Conn}))
	mux := all.ServeMux

	// A route that is added later goes first, so these stand before the gateway's own.
	w := &watchHandler{mux: mux, tasks: tasks, refuser: refusals}
	route(mux, "/v1/tasks/{task_id}:watch", w.task, http.MethodGet)
	route(mux, "/v1/tasks:watch", w.all, http.MethodGet)
	d := &downloadHandler{mux: mux, tasks: tasks, outputs: cfg.Outputs, bind: cfg.Bind, refuser: refusals}
	route(mux, "/v1/tasks/{task_id}/outputs/{index}", d.serve, http.MethodGet, http.MethodHead)
	route(mux, linksPath+"{token}", d.serveLink, http.MethodGet, http.MethodHead)

	route(mux, "/", withoutParams(http.HandlerFunc(index)), http.MethodGet, http.MethodHead)
	route(mux, "/healthz", withoutParams(http.HandlerFunc(liveness)), http.MethodGet, http.MethodHead)
	route(mux, "/readyz", withoutParams(readiness(cfg.Ready, cfg.Log)), http.MethodGet, http.MethodHead)
	if cfg.OpenAPI != nil {
		route(mux, "/openapi.json", withoutParams(document(cfg.OpenAPI)), http.MethodGet, http.MethodHead)
	}
	if cfg.Metrics != nil {
		route(mux, "/metrics", withoutParams(cfg.Metrics), http.MethodGet)
	}
	for _, pattern := range []string{"/healthz", "/readyz", "/openapi.json", "/metrics"} {
		all.anyQuery[pattern] = true // Probes and scrapers add what they like.
	}
	a := &requestGuard{
		refuser: refusals, authenticate: cfg.Authenticate,
		uploads: &uploadHandler{mux: mux, tasks: tasks, refuser: refusals}, routes: all,
	}
	if cfg.Open {
		a.sites = newCrossSiteGuard(cfg.BaseURL)
	}
	return recovered(refusals, noStore(a))
}

// index says what is at this address.
func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, `This is Refract, which runs AI video modifications.

/v1/tasks       the REST API, with a token of "refract token create" as "Authorization: Bearer ..."
/openapi.json   its description
/readyz         whether this replica serves
/healthz        whether the process lives
/metrics        figures for Prometheus
`)
}

// linksPath is where outputs are, by links that are their own credentials.
const linksPath = "/v1/outputs/"

// route adds a handler of our own to the gateway's routes, so that one router knows them all.
func route(mux *runtime.ServeMux, pattern string, h runtime.HandlerFunc, methods ...string) {
	for _, method := range methods {
		if err := mux.HandlePath(method, pattern, h); err != nil {
			panic(err) //nolint:forbidigo // The patterns are constants of this package, so every test would find this.
		}
	}
}

func withoutParams(h http.Handler) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, _ map[string]string) { h.ServeHTTP(w, r) }
}
