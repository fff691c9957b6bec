package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/refract-video/refract/internal/publicerr"
)

// refuser answers refused requests with a google.rpc.Status as JSON.
type refuser struct {
	log       *slog.Logger
	challenge string // The value of WWW-Authenticate; empty where no credentials help.
}

// fail answers with the error of a call.
func (f refuser) fail(ctx context.Context, w http.ResponseWriter, err error) {
	f.write(w, f.publicStatus(ctx, err))
}

// refuse answers with a refusal of this package and its arguments.
func (f refuser) refuse(w http.ResponseWriter, r refusal, args ...any) {
	f.send(w, r.status, r.with(args...))
}

// invalid answers a request that breaks a rule of the contract in a field; empty means none in particular.
func (f refuser) invalid(w http.ResponseWriter, field, description string) {
	f.write(w, invalidRequest(field, description))
}

// publicStatus returns the part of an error that callers may see. The gRPC server wrote a status with an ErrorInfo for
// callers. An invalid argument without one is the gateway's, about the caller's own input. Every other error is the
// transport's and goes to the log.
func (f refuser) publicStatus(ctx context.Context, err error) *status.Status {
	var malformed *runtime.HTTPStatusError
	if errors.As(err, &malformed) {
		return invalidRequest("", "the path is malformed")
	}
	st, ok := status.FromError(err)
	if inner, wrapped := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); wrapped {
		st, ok = inner.GRPCStatus(), true // FromError would add the text of the errors that wrap it, which is for the log.
	}
	switch {
	case ok && errorInfoOf(st) != nil:
		return st
	case ok && st.Code() == codes.InvalidArgument:
		return invalidRequest("", withoutProtoPrefix(st.Message()))
	case st.Code() == codes.Canceled || errors.Is(err, context.Canceled):
		return callCanceled
	}
	f.log.WarnContext(ctx, "HTTP request failed", "error", err)
	switch st.Code() {
	case codes.DeadlineExceeded:
		return callTimedOut
	case codes.Unavailable:
		return serviceUnreachable
	default:
		return internalError.with()
	}
}

// withoutProtoPrefix removes the prefix of messages of the proto library. A space or a no-break space follows it.
func withoutProtoPrefix(message string) string {
	return strings.TrimSpace(strings.TrimPrefix(message, "proto:"))
}

// write answers with an error as callers may see it.
func (f refuser) write(w http.ResponseWriter, st *status.Status) {
	f.send(w, httpStatusOf(st), st)
}

// send answers with a status, within its bound, and sets the HTTP headers that follow from it.
func (f refuser) send(w http.ResponseWriter, httpStatus int, st *status.Status) {
	st = publicerr.Bound(st)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if st.Code() == codes.Unauthenticated && f.challenge != "" {
		h.Set("WWW-Authenticate", f.challenge)
	}
	if after := publicerr.RetryAfter(st); after != "" {
		h.Set("Retry-After", after)
	}
	body := encodeStatus(st)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(httpStatus)
	_, _ = w.Write(body) //nolint:gosec // The body is JSON and declared as such, with nosniff.
}

// encodeStatus returns a status as JSON on one line. It leaves out all details when one of them has an unknown type.
func encodeStatus(st *status.Status) []byte {
	body, err := compact(protojson.Marshal(st.Proto()))
	if err != nil {
		bare := &spb.Status{Code: int32(st.Code()), Message: strings.ToValidUTF8(st.Message(), "\uFFFD")} //nolint:gosec // Codes are small.
		body, _ = compact(protojson.Marshal(bare))
	}
	return body
}

// gatewayError is the gateway's error handler.
func (f refuser) gatewayError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	if md, ok := runtime.ServerMetadataFromContext(ctx); ok {
		forwardHeaders(w, md.HeaderMD)
		forwardHeaders(w, md.TrailerMD) // An error has its request id there.
	}
	f.fail(ctx, w, err)
}
