package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/tracing"
)

// InternalConfig is what the internal handler serves. Conn, Outputs and Log are required.
type InternalConfig struct {
	// Conn leads to the gRPC server that has TaskService, ModelService, WebhookService and OperatorService.
	Conn grpc.ClientConnInterface
	// Outputs opens the files to download.
	Outputs Outputs
	// Sources opens the uploaded sources of tasks to download.
	Sources TaskSources
	// OpenAPI returns the document served as /openapi.json; without it there is none. Each request for the document calls it.
	OpenAPI func() ([]byte, error)
	// Ready returns why the process can't serve now, or nil. Each /readyz calls it, with a timeout of 5 seconds. Without it
	// the process is always ready.
	Ready func(ctx context.Context) error
	// Enter returns the caller of a request. It is authenticated before a body is read, and again by the gRPC server. Without it, all
	// bodies are read, and nothing names the caller to the gRPC server but the Authorization header.
	Enter func(*http.Request) Caller
	// Open means that callers need no credentials. Requests that a web page of another site could make are refused then.
	// BaseURL is the address at which callers reach the service, apart from loopback addresses.
	Open    bool
	BaseURL string
	// Console serves the pages for people: all paths but those of the API. Without it there are none.
	Console http.Handler
	// Cookies are those of the console. A request to the API that has no credentials but a session must come from a page of the console.
	// Nil means that sessions are no credentials.
	Cookies *cookie.Policy
	// Requests measures the requests; nil measures none.
	Requests *RequestMetrics
	// Metrics serves /metrics; without it there are none.
	Metrics http.Handler
	// Traces has the spans of requests; nil means that they have none.
	Traces trace.TracerProvider
	// Log receives what callers must not see.
	Log *slog.Logger
}

// NewInternal returns the handler of the internal listener:
//
//	/v1/tasks…                              TaskService as REST, by grpc-gateway
//	/v1/models…                             ModelService, likewise
//	/v1/webhooks… webhookDeliveries…        WebhookService, likewise
//	/v1/providers… tenants… callbacks…      OperatorService, likewise
//	/v1/tasks:watch                         a stream: lines of JSON, or server-sent events
//	/v1/tasks/{task_id}:watch               the same of one task
//	/v1/tasks/{task_id}/outputs/{index}     a file, with Range
//	/v1/tasks/{task_id}/source              the uploaded source of a task, likewise
//	/v1/sources/{upload_id}                 an upload, resumable
//	/v1/outputs/{token}                     a file, by a signed link
//	/  /openapi.json  /healthz  /readyz  /metrics
//	/tasks  /login  /assets/…  and so on    the console, where it is on
//
// The five before the console need no credentials. With the console, / leads browsers to it.
func NewInternal(cfg InternalConfig) http.Handler {
	refusals := refuser{log: cfg.Log, challenge: "Bearer"}
	tasks := refractv1.NewTaskServiceClient(timeoutConn{cfg.Conn})
	all := newRoutes(refusals, timeoutConn{cfg.Conn})
	mux := all.ServeMux

	// The router tries the latest route first, so these replace the gateway's own.
	w := &watchHandler{mux: mux, tasks: tasks, refuser: refusals}
	route(mux, "/v1/tasks/{task_id}:watch", w.task, http.MethodGet)
	route(mux, "/v1/tasks:watch", w.all, http.MethodGet)
	d := &downloadHandler{mux: mux, tasks: tasks, outputs: cfg.Outputs, sources: cfg.Sources, refuser: refusals}
	route(mux, "/v1/tasks/{task_id}/outputs/{index}", d.serve, http.MethodGet, http.MethodHead)
	route(mux, "/v1/tasks/{task_id}/source", d.serveSource, http.MethodGet, http.MethodHead)
	route(mux, linksPath+"{token}", d.serveLink, http.MethodGet, http.MethodHead)

	route(mux, "/", withoutParams(http.HandlerFunc(index)), http.MethodGet, http.MethodHead)
	route(mux, "/healthz", withoutParams(http.HandlerFunc(liveness)), http.MethodGet, http.MethodHead)
	route(mux, "/readyz", withoutParams(readiness(cfg.Ready, cfg.Log)), http.MethodGet, http.MethodHead)
	if cfg.OpenAPI != nil {
		route(mux, "/openapi.json", withoutParams(refusals.document(cfg.OpenAPI)), http.MethodGet, http.MethodHead)
	}
	if cfg.Metrics != nil {
		route(mux, "/metrics", withoutParams(cfg.Metrics), http.MethodGet)
	}
	for _, pattern := range []string{"/healthz", "/readyz", "/openapi.json", "/metrics"} {
		all.anyQuery[pattern] = true // Load balancers and scrapers add parameters of their own.
	}
	a := &requestGuard{refuser: refusals, uploads: &uploadHandler{mux: mux, tasks: tasks, refuser: refusals}, routes: all, console: cfg.Console, cookies: cfg.Cookies}
	if cfg.Open {
		a.sites, a.cookies = newCrossSiteGuard(cfg.BaseURL), nil
	}
	return cfg.Requests.measure("http", tracing.InternalHandler(recovered(refusals, noStore(entering(cfg.Enter, a))), cfg.Traces, "/v1/"))
}

// NewHealth returns the handler of the internal listener of a replica that serves no API: /healthz, /readyz and /metrics. Of its
// configuration it needs Ready, Metrics and Log.
func NewHealth(cfg InternalConfig) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", liveness)
	mux.Handle("GET /readyz", readiness(cfg.Ready, cfg.Log))
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	}
	refusals := refuser{log: cfg.Log}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { refusals.refuse(closing(w, r), unknownPath) })
	return recovered(refusals, noStore(mux))
}

// index lists what this listener serves.
func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, `This is Refract, which runs AI video modifications.

/v1/tasks       the REST API, with a token of "refract token create" as "Authorization: Bearer ..."
/v1/models      the models that tasks can name
/v1/webhooks    the URLs that receive the events of tasks
/openapi.json   its description
/readyz         whether this replica serves
/healthz        whether the process lives
/metrics        figures for Prometheus
`)
}

// linksPath is where outputs are, by signed links.
const linksPath = "/v1/outputs/"

// route adds a handler to the gateway's router, so that all routes are in one router.
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
