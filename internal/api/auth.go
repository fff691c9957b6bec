package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// errCredentials means that the credentials are missing, wrong or revoked. Which of these is not told.
var errCredentials = errors.New("the API token is missing, wrong or revoked: send `authorization: Bearer <token>`")

// errNotOperator means that the call is for operators, and the caller is none.
var errNotOperator = errors.New("the call is for operators: create a token with `refract token create --operator`")

// Identity is who calls.
type Identity struct {
	Tenant   string
	Operator bool // Whether the caller may call OperatorService, too.
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

// hashAPIToken is a plain SHA-256: tokens are random, so there is nothing to guess, and looking one up by
// its hash leaks nothing through time.
func hashAPIToken(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// Tokens is where the hashes of API tokens are.
type Tokens interface {
	// TenantByTokenHash returns whose live token has this hash, or an empty tenant where none has, and whether it
	// is an operator's.
	TenantByTokenHash(ctx context.Context, hash []byte) (tenant string, operator bool, err error)
}

const (
	// tokenMemory is how long a good token is remembered, and so how long a revoked one may still work.
	tokenMemory = 5 * time.Second
	// tokensRemembered bounds the memory. Only good tokens are remembered, so strangers can't fill it.
	tokensRemembered = 10_000
)

// ByToken returns an Authenticate that looks API tokens up, remembering good ones for a few seconds.
func ByToken(tokens Tokens) Authenticate {
	m := tokenMap{holders: map[string]remembered{}}
	return func(ctx context.Context, authorization string) (Identity, error) {
		scheme, token, _ := strings.Cut(authorization, " ")
		if !strings.EqualFold(scheme, "bearer") || !strings.HasPrefix(token, tokenPrefix) || len(token) > 128 {
			return Identity{}, errCredentials
		}
		hash := hashAPIToken(token)
		if id, ok := m.get(string(hash)); ok {
			return id, nil
		}
		tenant, operator, err := tokens.TenantByTokenHash(ctx, hash)
		if err != nil {
			return Identity{}, err
		}
		if tenant == "" {
			return Identity{}, errCredentials
		}
		id := Identity{Tenant: tenant, Operator: operator}
		m.put(string(hash), id)
		return id, nil
	}
}

type remembered struct {
	Identity

	until time.Time
}

type tokenMap struct {
	mu      sync.Mutex
	holders map[string]remembered
}

func (m *tokenMap) get(hash string) (Identity, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.holders[hash]
	return r.Identity, ok && time.Now().Before(r.until)
}

func (m *tokenMap) put(hash string, id Identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.holders) >= tokensRemembered {
		clear(m.holders)
	}
	m.holders[hash] = remembered{Identity: id, until: time.Now().Add(tokenMemory)}
}

// tenantKey is where a request's context carries the tenant.
type tenantKey struct{}

// tenantOf returns the tenant of an authenticated request.
func tenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
}

// isOf tells whether a method belongs to a service.
func isOf(service grpc.ServiceDesc, method string) bool {
	return strings.HasPrefix(method, "/"+service.ServiceName+"/")
}

// authenticate finds out who calls, and whether they may. Callbacks carry a token of their own, and health and
// reflection tell nothing about anyone.
func authenticate(ctx context.Context, method string, a Authenticate) (context.Context, error) {
	forOperators := isOf(refractv1.OperatorService_ServiceDesc, method)
	if !forOperators && !isOf(refractv1.TaskService_ServiceDesc, method) {
		return ctx, nil
	}
	var authorization string
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) > 0 {
		authorization = values[0]
	}
	id, err := a(ctx, authorization)
	if err != nil {
		return ctx, err
	}
	if forOperators && !id.Operator {
		return ctx, errNotOperator
	}
	return context.WithValue(ctx, tenantKey{}, id.Tenant), nil
}

func authenticateUnary(a Authenticate) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := authenticate(ctx, info.FullMethod, a)
		if err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// admitStream authenticates a stream and validates what comes on it.
func admitStream(a Authenticate, v protovalidate.Validator) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, err := authenticate(stream.Context(), info.FullMethod, a)
		if err != nil {
			return err
		}
		return handler(srv, &validatedStream{contextStream: contextStream{ServerStream: stream, ctx: ctx}, validator: v})
	}
}

// contextStream is a stream with another context.
type contextStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // A stream is asked for its context; gRPC offers no other way.
}

// Context returns the stream's context.
func (s *contextStream) Context() context.Context { return s.ctx }
