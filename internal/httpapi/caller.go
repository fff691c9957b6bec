package httpapi

import (
	"context"
	"net/http"

	"google.golang.org/grpc/metadata"
)

// Caller is who makes a request.
type Caller interface {
	// Authenticate returns the status of a caller without valid credentials.
	Authenticate(ctx context.Context) error
	// Bind returns a context that also ends when the credentials expire or are revoked. stop must be called. The error is a status, as
	// that of Authenticate.
	Bind(ctx context.Context) (live context.Context, stop func(), err error)
	// Metadata names the caller to the gRPC server, which authenticates each call by it.
	Metadata() metadata.MD
	// Leave is called after the request.
	Leave()
}

// callerKey is where the context of a request carries its Caller.
type callerKey struct{}

// CallerOf returns the caller of a request for the console; nil where callers are not known.
func CallerOf(ctx context.Context) Caller { return callerOf(ctx) }

// callerOf returns the caller of a request; nil where callers are not known.
func callerOf(ctx context.Context) Caller {
	caller, _ := ctx.Value(callerKey{}).(Caller)
	return caller
}

// callerMetadata is the annotator of the gateway that names the caller of a request to the gRPC server.
func callerMetadata(ctx context.Context, _ *http.Request) metadata.MD {
	if caller := callerOf(ctx); caller != nil {
		return caller.Metadata()
	}
	return nil
}

// entering makes the caller of each request known.
func entering(enter func(*http.Request) Caller, next http.Handler) http.Handler {
	if enter == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := enter(r)
		defer caller.Leave()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
	})
}
