package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// IngressConfig says what the public handler serves. Conn, MaxBody and Log are required.
type IngressConfig struct {
	// Conn leads to the gRPC server that has CallbackService.
	Conn grpc.ClientConnInterface
	// MaxBody is the size in bytes that the body of a callback may have.
	MaxBody int64
	// OnOversized is called for each callback that was refused for its size.
	OnOversized func(ctx context.Context)
	// Sources opens uploaded sources; without it none are served.
	Sources PublicSources
	// Log takes what strangers must not see. Paths are not logged: they hold URL tokens.
	Log *slog.Logger
}

// callbackHeaders are the headers of a callback that reach the gRPC server, as metadata of these names.
var callbackHeaders = []string{"x-webhook-timestamp", "x-webhook-signature"}

// NewIngress returns the handler of the public listener. It takes POST /v1/callbacks/{provider}/{token} with
// any body of any type, which reaches the gRPC server byte by byte, and answers 404 to everything else. A
// callback that was taken is answered 200. With Sources it also serves GET /v1/sources/{token}, with ranges.
//
// It does without grpc-gateway, which would forward Authorization, Grpc-Timeout and the addresses of whoever
// calls.
func NewIngress(cfg IngressConfig) http.Handler {
	refusals := refuser{log: cfg.Log}
	return recovered(refusals, private(&ingress{
		callbacks: refractv1.NewCallbackServiceClient(impatientConn{cfg.Conn}),
		sources:   publicSourceHandler{sources: cfg.Sources, refuser: refusals},
		maxBody:   cfg.MaxBody, onOversized: cfg.OnOversized, refuser: refusals,
	}))
}

type ingress struct {
	callbacks   refractv1.CallbackServiceClient
	sources     publicSourceHandler
	maxBody     int64
	onOversized func(ctx context.Context)
	refuser
}

func (h *ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if h.sources.sources != nil && reads && strings.HasPrefix(r.URL.Path, sourcesPath) {
		h.sources.serve(w, r)
		return
	}
	req, ok := callbackRequest(r)
	if !ok {
		h.refuse(w, http.StatusNotFound, codes.NotFound, "not found")
		return
	}
	var err error
	if req.Body, err = readBody(w, r, h.maxBody); err != nil {
		if errors.Is(err, errBodyTooLarge) && h.onOversized != nil {
			h.onOversized(r.Context())
		}
		h.refuseBody(w, err)
		return
	}
	ctx := metadata.NewOutgoingContext(r.Context(), callbackMetadata(r.Header))
	resp, err := h.callbacks.ReceiveCallback(ctx, req)
	if err != nil {
		h.fail(ctx, w, err)
		return
	}
	body, err := encode(resp)
	if err != nil {
		h.fail(ctx, w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // The provider went away; it will call again, and that changes nothing.
}

// callbackRequest reads the request line. A token of any form is left to the server to judge and count.
func callbackRequest(r *http.Request) (*refractv1.ReceiveCallbackRequest, bool) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/callbacks/")
	if !ok || r.Method != http.MethodPost || !utf8.ValidString(rest) {
		return nil, false
	}
	provider, token, ok := strings.Cut(rest, "/")
	if !ok || provider == "" || strings.Contains(token, "/") {
		return nil, false
	}
	return &refractv1.ReceiveCallbackRequest{Provider: provider, Token: token}, true
}

// callbackMetadata picks the headers of callbackHeaders. A value that metadata can't carry is left out, and
// so counts as missing; no provider sends one.
func callbackMetadata(header http.Header) metadata.MD {
	md := metadata.MD{}
	for _, name := range callbackHeaders {
		for _, value := range header.Values(name) {
			if isPrintable(value) {
				md.Append(name, value)
			}
		}
	}
	return md
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}
