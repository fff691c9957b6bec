package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/otel/trace"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/connlimit"
	"github.com/refract-video/refract/internal/tracing"
)

// Callbacks receives callbacks. It is called in this process: callers of REST share the connection to the gRPC server.
type Callbacks interface {
	refractv1.CallbackServiceServer
	// CheckToken returns the status of a callback whose URL token is missing or forged. It needs no query.
	CheckToken(ctx context.Context, provider, token string) error
}

// IngressConfig is what the public handler serves. Callbacks, MaxBody and Log are required.
type IngressConfig struct {
	// Callbacks receives what was posted.
	Callbacks Callbacks
	// Headers are the HTTP headers of a callback that reach Callbacks, as metadata of these names in lower case. Adapters
	// list them.
	Headers []string
	// MaxBody is the largest body of a callback in bytes.
	MaxBody int64
	// OnOversized is called for each callback that was refused for its size.
	OnOversized func(ctx context.Context)
	// Requests measures the requests; nil measures none.
	Requests *RequestMetrics
	// Sources opens uploaded sources; without it none are served.
	Sources PublicSources
	// Traces has the spans of callbacks with a genuine token; nil means that they have none.
	Traces trace.TracerProvider
	// SelfTests answers self-tests; without it none are answered.
	SelfTests SelfTests
	// Log receives what strangers must not see. Paths are not logged: they contain URL tokens.
	Log *slog.Logger
}

// NewIngress returns the handler of the public listener. It serves POST /v1/callbacks/{provider}/{token} with any body of
// any type, which reaches the service byte by byte, and answers 404 to everything else. It answers 200 when the callback is
// received. With Sources it also serves GET /v1/sources/{token}, with ranges. With SelfTests it answers
// POST /v1/callbacks/self-test/{token}.
//
// grpc-gateway has the route and calls the service in this process. The handler in front of it checks the URL token before
// it reads the body, bounds the body, and removes the headers that the gateway forwards or obeys without being asked.
func NewIngress(cfg IngressConfig) http.Handler {
	refusals := refuser{log: cfg.Log}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, rawBody{}),
		runtime.WithIncomingHeaderMatcher(matcherOf(cfg.Headers)),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithErrorHandler(refusals.gatewayError),
		runtime.WithRoutingErrorHandler(refusals.notFound),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithWriteContentLength(),
	)
	if err := refractv1.RegisterCallbackServiceHandlerServer(context.Background(), mux, cfg.Callbacks); err != nil {
		panic(err) //nolint:forbidigo // Registration depends on generated code alone, so every test would find this.
	}
	h := &ingress{
		mux: mux, callbacks: cfg.Callbacks, headers: cfg.Headers, sources: publicSourceHandler{sources: cfg.Sources, refuser: refusals},
		selfTests: cfg.SelfTests, maxBody: cfg.MaxBody, onOversized: cfg.OnOversized, refuser: refusals,
	}
	h.receive = tracing.PublicHandler(http.HandlerFunc(h.receiveCallback), cfg.Traces, "/v1/callbacks/{provider}/{token}")
	return cfg.Requests.measure("ingress", recovered(refusals, noStore(h)))
}

// matcherOf returns a matcher for the gateway that passes on these headers.
func matcherOf(headers []string) runtime.HeaderMatcherFunc {
	metadata := make(map[string]string, len(headers))
	for _, name := range headers {
		metadata[http.CanonicalHeaderKey(name)] = strings.ToLower(name)
	}
	return func(name string) (string, bool) {
		key, ok := metadata[name]
		return key, ok
	}
}

// ingress is the handler in front of the gateway.
type ingress struct {
	receive     http.Handler // Of callbacks whose token is genuine.
	mux         http.Handler
	callbacks   Callbacks
	headers     []string
	sources     publicSourceHandler
	selfTests   SelfTests
	maxBody     int64
	onOversized func(ctx context.Context)
	refuser
}

func (h *ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if h.sources.sources != nil && reads && strings.HasPrefix(r.URL.Path, sourcesPath) {
		setRoute(r.Context(), sourcesPath+"{token}")
		defer connlimit.Busy(r.Context())()
		h.sources.serve(w, r)
		return
	}
	provider, token, ok := callbackOf(r)
	if !ok {
		h.notFound(r.Context(), nil, nil, w, r, 0)
		return
	}
	setRoute(r.Context(), "/v1/callbacks/{provider}/{token}")
	if h.isSelfTest(provider, token) {
		h.answerSelfTest(w, r, token)
		return
	}
	if err := h.callbacks.CheckToken(r.Context(), provider, token); err != nil {
		h.fail(r.Context(), closing(w, r), err)
		return
	}
	h.receive.ServeHTTP(w, r)
}

// receiveCallback reads a callback whose token is genuine, and passes it on to the gateway.
func (h *ingress) receiveCallback(w http.ResponseWriter, r *http.Request) {
	if encoding := encodingOf(r.Header); encoding != "" {
		h.refuseEncoding(closing(w, r), encoding)
		return
	}
	body, err := readBody(w, r, h.maxBody)
	if err != nil {
		if errors.Is(err, errBodyTooLarge) && h.onOversized != nil {
			h.onOversized(r.Context())
		}
		h.refuseBody(w, err)
		return
	}
	defer connlimit.Busy(r.Context())()
	r = forGateway(r, "Authorization", "Grpc-Timeout", "Te")
	for _, name := range h.headers { // The gateway would log a value that metadata can't carry.
		name = http.CanonicalHeaderKey(name)
		r.Header[name] = slices.DeleteFunc(r.Header[name], func(value string) bool { return !isPrintable(value) })
	}
	r.Body = &heldBody{Reader: bytes.NewReader(body), all: body}
	h.mux.ServeHTTP(w, r)
}

// notFound answers a request that is no callback. The answer has no reason.
func (f refuser) notFound(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, _ int) {
	f.refuse(closing(w, r), notPublic)
}

// callbackOf returns the provider and the token in the path of a callback. The service verifies the token, of whatever form,
// and counts a wrong one.
func callbackOf(r *http.Request) (provider, token string, ok bool) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/callbacks/")
	if !ok || r.Method != http.MethodPost || !utf8.ValidString(rest) {
		return "", "", false
	}
	provider, token, ok = strings.Cut(rest, "/")
	return provider, token, ok && provider != "" && !strings.Contains(token, "/")
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// heldBody is a request body that is in memory.
type heldBody struct {
	*bytes.Reader
	all []byte
}

// Close implements io.Closer.
func (*heldBody) Close() error { return nil }

// rawBody passes the body of a callback to the service as it is: adapters read other formats than JSON, and operators see
// what came.
type rawBody struct{ strictJSON }

func (rawBody) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		body, isBytes := v.(*[]byte)
		held, isHeld := r.(*heldBody)
		if !isBytes || !isHeld {
			return fmt.Errorf("decode the body of a callback from %T to %T", r, v)
		}
		*body = held.all
		return nil
	})
}
