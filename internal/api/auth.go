package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// errCredentials means that the credentials are missing, wrong or revoked. Callers do not learn which.
var errCredentials = errors.New("the API token is missing, wrong or revoked: send `authorization: Bearer <token>`")

// errNotOperator means that the call is for operators, and the caller is none.
var errNotOperator = errors.New("the call is for operators: create a token with `refract token create --operator`")

// Identity is who calls.
type Identity struct {
	Tenant   string
	Operator bool // Whether the caller may call OperatorService, too.

	live context.Context //nolint:containedctx // It ends with the credentials, not with a call. Nil never ends.
	end  context.CancelCauseFunc
}

// Authenticate returns whose credentials an Authorization header carries, or an error. It may be called
// concurrently.
type Authenticate func(ctx context.Context, authorization string) (Identity, error)

// As returns an Authenticate that takes every caller for one tenant, and for an operator. It is for listeners that
// only the own machine can reach.
func As(tenant string) Authenticate {
	return func(context.Context, string) (Identity, error) { return Identity{Tenant: tenant, Operator: true}, nil }
}

// tokenPrefix makes API tokens easy to recognise, for people and for secret scanners.
const tokenPrefix = "refract_"

// NewAPIToken returns a random API token and the hash under which it is stored.
func NewAPIToken() (token string, hash []byte) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // It never fails: a system without randomness ends the process.
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	return token, hashAPIToken(token)
}

// hashAPIToken returns the SHA-256 of a token. Tokens are random and long, so that no slow hash is needed, and the time of a
// lookup by hash reveals nothing.
func hashAPIToken(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// tenantKey is where a request's context carries the tenant.
type tenantKey struct{}

// tenantOf returns the tenant of an authenticated request.
func tenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
}

// isOf reports whether a method belongs to a service.
func isOf(service grpc.ServiceDesc, method string) bool {
	return strings.HasPrefix(method, "/"+service.ServiceName+"/")
}

// authenticate returns who calls, or an error where they may not. Callbacks carry a token of their own. Health and reflection
// have no data of tenants.
func authenticate(ctx context.Context, method string, a Authenticate) (context.Context, Identity, error) {
	forOperators := isOf(refractv1.OperatorService_ServiceDesc, method)
	if !forOperators && !isOf(refractv1.TaskService_ServiceDesc, method) {
		return ctx, Identity{}, nil
	}
	var authorization string
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) > 0 {
		authorization = values[0]
	}
	id, err := a(ctx, authorization)
	if err != nil {
		return ctx, id, err
	}
	if forOperators && !id.Operator {
		return ctx, id, errNotOperator
	}
	return context.WithValue(ctx, tenantKey{}, id.Tenant), id, nil
}

func authenticateUnary(a Authenticate) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, _, err := authenticate(ctx, info.FullMethod, a)
		if err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// admitStream authenticates a stream, validates what comes on it, and ends it with errCredentials when the credentials are
// revoked.
func admitStream(a Authenticate, v protovalidate.Validator) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, id, err := authenticate(stream.Context(), info.FullMethod, a)
		if err != nil {
			return err
		}
		ctx, stop := id.Bind(ctx)
		defer stop()
		err = handler(srv, &validatedStream{contextStream: contextStream{ServerStream: stream, ctx: ctx}, validator: v})
		if err != nil && errors.Is(context.Cause(ctx), errCredentials) {
			return errCredentials
		}
		return err
	}
}

// Bind returns a context that also ends, with the cause errCredentials, when the credentials are revoked. stop must be called.
func (id Identity) Bind(ctx context.Context) (_ context.Context, stop func()) {
	if id.live == nil {
		return ctx, func() {}
	}
	ctx, end := context.WithCancelCause(ctx)
	forget := context.AfterFunc(id.live, func() { end(errCredentials) })
	return ctx, func() {
		forget()
		end(nil)
	}
}

// contextStream is a stream with another context.
type contextStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // A stream is asked for its context; gRPC offers no other way.
}

// Context returns the stream's context.
func (s *contextStream) Context() context.Context { return s.ctx }
