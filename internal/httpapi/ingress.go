package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/connlimit"
	"github.com/refract-video/refract/internal/publicerr"
)

// Callbacks takes callbacks. It is called in this process, since a connection to the gRPC server would be shared with others.
type Callbacks interface {
	refractv1.CallbackServiceServer
	// CheckToken returns the status of a callback whose URL token is missing or forged. It reads nothing but memory.
	CheckToken(ctx context.Context, provider, token string) error
}

// IngressConfig says what the public handler serves. Callbacks, MaxBody and Log are required.
type IngressConfig struct {
	// Callbacks takes what was posted.
	Callbacks Callbacks
	// MaxBody is the size in bytes that the body of a callback may have.
	MaxBody int64
	// OnOversized is called for each callback that was refused for its size.
	OnOversized func(ctx context.Context)
	// Sources opens uploaded sources; without it none are served.
	Sources PublicSources
	// Log takes what strangers must not see. Paths are not logged: they hold URL tokens.
	Log *slog.Logger
}

// callbackHeaders are the headers of a callback that reach the service, as metadata of these names.
var callbackHeaders = []string{"x-webhook-timestamp", "x-webhook-signature"}

// NewIngress returns the handler of the public listener. It takes POST /v1/callbacks/{provider}/{token} with
// any body of any type, which reaches the service byte by byte, and answers 404 to everything else. A
// callback that was taken is answered 200. With Sources it also serves GET /v1/sources/{token}, with ranges.
//
// The route is grpc-gateway's, which calls the service in this process. What stands before it reads no body without a token
// of ours, and takes away what the gateway would forward by itself: Authorization, Grpc-Timeout and the addresses of whoever
// calls.
func NewIngress(cfg IngressConfig) http.Handler {
	refusals := refuser{log: cfg.Log}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, rawBody{}),
		runtime.WithIncomingHeaderMatcher(func(header string) (string, bool) { return strings.ToLower(header), true }), // Of those that are left.
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithErrorHandler(refusals.gatewayError),
		runtime.WithRoutingErrorHandler(refusals.notFound),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithWriteContentLength(),
	)
	if err := refractv1.RegisterCallbackServiceHandlerServer(context.Background(), mux, boundedCallbacks{Callbacks: cfg.Callbacks}); err != nil {
		panic(err) //nolint:forbidigo // Registration depends on generated code alone, so every test would find this.
	}
	return recovered(refusals, private(&ingress{
		mux: mux, callbacks: cfg.Callbacks, sources: publicSourceHandler{sources: cfg.Sources, refuser: refusals},
		maxBody: cfg.MaxBody, onOversized: cfg.OnOversized, refuser: refusals,
	}))
}

// ingress stands before the gateway.
type ingress struct {
	mux         http.Handler
	callbacks   Callbacks
	sources     publicSourceHandler
	maxBody     int64
	onOversized func(ctx context.Context)
	refuser
}

func (h *ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if h.sources.sources != nil && reads && strings.HasPrefix(r.URL.Path, sourcesPath) {
		defer connlimit.Busy(r.Context())()
		h.sources.serve(w, r)
		return
	}
	provider, token, ok := callbackOf(r)
	if !ok {
		h.notFound(r.Context(), nil, nil, w, r, 0)
		return
	}
	if err := h.callbacks.CheckToken(r.Context(), provider, token); err != nil {
		h.fail(r.Context(), closing(w, r), err)
		return
	}
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
	bare := r.WithContext(r.Context())
	bare.Header, bare.Body = signatureOf(r.Header), io.NopCloser(bytes.NewReader(body))
	bare.Host, bare.RemoteAddr = "", "" // The gateway forwards these, whatever its matcher says.
	h.mux.ServeHTTP(w, bare)
}

// notFound answers what is no callback. It says nothing about why.
func (f refuser) notFound(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, _ int) {
	f.refuse(closing(w, r), http.StatusNotFound, codes.NotFound, "not found")
}

// callbackOf reads the request line. A token of any form is left to the service to judge and count.
func callbackOf(r *http.Request) (provider, token string, ok bool) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/callbacks/")
	if !ok || r.Method != http.MethodPost || !utf8.ValidString(rest) {
		return "", "", false
	}
	provider, token, ok = strings.Cut(rest, "/")
	return provider, token, ok && provider != "" && !strings.Contains(token, "/")
}

// signatureOf picks the headers of callbackHeaders. A value that metadata can't carry is left out, and
// so counts as missing; no provider sends one.
func signatureOf(header http.Header) http.Header {
	picked := http.Header{}
	for _, name := range callbackHeaders {
		for _, value := range header.Values(name) {
			if isPrintable(value) {
				picked.Add(name, value)
			}
		}
	}
	return picked
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// boundedCallbacks ends calls after publicerr.CallTimeout, with a status that does not take that time for the caller's.
type boundedCallbacks struct{ Callbacks }

// ReceiveCallback takes one callback.
func (b boundedCallbacks) ReceiveCallback(ctx context.Context, req *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
	return publicerr.Within(ctx, func(ctx context.Context) (*refractv1.ReceiveCallbackResponse, error) {
		return b.Callbacks.ReceiveCallback(ctx, req)
	})
}

// rawBody hands the body of a callback on as it is: no provider signs it, and operators see what came.
type rawBody struct{ strictJSON }

func (rawBody) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) (err error) {
		body, ok := v.(*[]byte)
		if !ok {
			return errors.New("the body of a callback is bytes")
		}
		*body, err = io.ReadAll(r) // It is in memory already.
		return err
	})
}
