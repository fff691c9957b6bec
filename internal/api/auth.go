package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/identity"
)

// errNotOperator means that the call is for operators, and the caller is none.
var errNotOperator = errors.New("the call is for operators: create a token with `refract token create --operator`, or use credentials that the service is configured to take for an operator's")

// errNoTenant means that the credentials are those of an operator without a tenant, and the call is one of a tenant.
var errNoTenant = errors.New("the credentials name an operator and no tenant: they are for the calls of operators and for ExplainTask")

// identityKey is where a request's context carries the *identity.Identity of its caller.
type identityKey struct{}

// tenantOf returns the tenant of an authenticated request.
func tenantOf(ctx context.Context) string {
	if id, ok := ctx.Value(identityKey{}).(*identity.Identity); ok {
		return id.Tenant
	}
	return ""
}

// actorOf returns the name of the caller of an authenticated request, as the audit log has it.
func actorOf(ctx context.Context) string {
	if id, ok := ctx.Value(identityKey{}).(*identity.Identity); ok {
		return id.Actor.Name
	}
	return ""
}

// isOperator reports whether an authenticated request is an operator's.
func isOperator(ctx context.Context) bool {
	id, ok := ctx.Value(identityKey{}).(*identity.Identity)
	return ok && id.Operator
}

// isOf reports whether a method belongs to a service.
func isOf(service grpc.ServiceDesc, method string) bool {
	return strings.HasPrefix(method, "/"+service.ServiceName+"/")
}

// needsCredentials reports whether callers of a method must authenticate. Callbacks carry a token of their own. Health and
// reflection have no data of tenants.
func needsCredentials(method string) bool {
	return isOf(refractv1.TaskService_ServiceDesc, method) || isOf(refractv1.ModelService_ServiceDesc, method) ||
		isOf(refractv1.WebhookService_ServiceDesc, method) || isOf(refractv1.OperatorService_ServiceDesc, method)
}

// isForOperatorsToo reports whether a method of tenants is also one of operators, for the tasks of all tenants.
func isForOperatorsToo(method string) bool {
	return method == refractv1.TaskService_ExplainTask_FullMethodName
}

// caller returns who makes a call.
type caller func(ctx context.Context) (*identity.Identity, error)

// remoteCaller authenticates callers by the credentials of their calls and connections.
func remoteCaller(a identity.Authenticator) caller {
	return func(ctx context.Context) (*identity.Identity, error) {
		c := identity.Credentials{Authorization: authorizations(metadata.ValueFromIncomingContext(ctx, "authorization"))}
		if p, ok := peer.FromContext(ctx); ok {
			if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
				c.Certificate = verifiedCertificate(&info.State)
			}
		}
		return a.Authenticate(ctx, c)
	}
}

// authorizations returns the values of an Authorization header that are not empty.
func authorizations(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

// verifiedCertificate returns the client certificate of a connection, or nil if there is none that TLS has verified.
func verifiedCertificate(state *tls.ConnectionState) *x509.Certificate {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil
	}
	return state.VerifiedChains[0][0]
}

// authenticate returns who calls, or an error where they may not.
func authenticate(ctx context.Context, method string, who caller) (context.Context, *identity.Identity, error) {
	if !needsCredentials(method) {
		return ctx, &identity.Identity{}, nil
	}
	id, err := who(ctx)
	if err != nil {
		return ctx, nil, err
	}
	switch operators := isOf(refractv1.OperatorService_ServiceDesc, method); {
	case operators && !id.Operator:
		return ctx, nil, errNotOperator
	case !operators && id.Tenant == "" && (!id.Operator || !isForOperatorsToo(method)):
		return ctx, nil, errNoTenant
	}
	return context.WithValue(ctx, identityKey{}, id), id, nil
}

// authenticateUnary authenticates a call. What it changes is recorded as a change of its caller.
func authenticateUnary(who caller) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, id, err := authenticate(ctx, info.FullMethod, who)
		if err != nil {
			return nil, err
		}
		if id.Actor.Kind != "" {
			ctx = audit.WithActor(ctx, id.Actor)
		}
		return handler(ctx, req)
	}
}

// admitStream authenticates a stream, validates what comes on it, and ends it with identity.ErrInvalid when the credentials expire or
// are revoked.
func admitStream(who caller, v protovalidate.Validator) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, id, err := authenticate(stream.Context(), info.FullMethod, who)
		if err != nil {
			return err
		}
		ctx, stop := id.Bind(ctx)
		defer stop()
		err = handler(srv, &validatedStream{contextStream: contextStream{ServerStream: stream, ctx: ctx}, validator: v})
		if err != nil && errors.Is(context.Cause(ctx), identity.ErrInvalid) {
			return identity.ErrInvalid
		}
		return err
	}
}

// contextStream is a stream with another context.
type contextStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // A stream is asked for its context; gRPC offers no other way.
}

// Context returns the stream's context.
func (s *contextStream) Context() context.Context { return s.ctx }
