// Package api is the gRPC surface: it converts between the contract and the domain, calls one verb or
// query for each request, and turns errors into statuses in one place.
//
// Nothing here decides about tasks. When the database is out of reach callers get UNAVAILABLE and may call
// again; every call is idempotent or refuses to be repeated.
package api

import (
	"cmp"
	"log/slog"
	"math"
	"time"

	"buf.build/go/protovalidate"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/identity"
)

// maxRequest is the largest request in bytes: far above the largest valid one but a batch, which is a chunk of an
// upload, so that what is refused for its size is refused by the rule of its field. It bounds only batches, whose
// answer repeats the request.
const maxRequest = 3 << 20

// What callers of the public listener may make us hold. A watch is one stream, and its metadata counts as long as it lasts.
const (
	maxStreams  = 10_000   // Of one connection; a client opens another one when it wants more.
	maxMetadata = 16 << 10 // Of one call, in bytes.
	// handshakeTimeout is how long a connection may take until it speaks gRPC.
	handshakeTimeout = 10 * time.Second
	// idleTimeout is how long a connection may have no call before it gives its place to others. Clients connect again by
	// themselves when they need one.
	idleTimeout = 5 * time.Minute
)

// MaxInProcess bounds the messages between REST and gRPC in bytes, in both directions. It is not the callers' bound: what
// REST has taken, and what it is to answer, passes.
const MaxInProcess = 16 << 20

// Config is what the server serves.
type Config struct {
	Tasks     *TaskService
	Models    *ModelService
	Webhooks  *WebhookService
	Operators *OperatorService
	Callbacks *CallbackService
	// Authenticator identifies callers. OperatorService is for operators alone.
	Authenticator identity.Authenticator
	Large         *LargeCalls // Nil bounds the calls of each server alone.
	Statuses      *Statuses
	Health        *health.Server       // What callers and load balancers ask. Nil means one that serves from the start.
	Meters        metric.MeterProvider // For what every call takes.
	Log           *slog.Logger
}

// NewServer returns a gRPC server for callers, with all services, health and reflection. Extra options are for credentials.
func NewServer(cfg Config, options ...grpc.ServerOption) *grpc.Server {
	server := newServer(cfg, remoteCaller(cfg.Authenticator), append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxRequest), grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxMetadata),
		grpc.ConnectionTimeout(handshakeTimeout), grpc.InTapHandle(newAnonymousCalls().tap),
		// Dead connections are found within two minutes.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTimeout, Time: time.Minute, Timeout: time.Minute}),
	}, options...))
	grpc_health_v1.RegisterHealthServer(server, cmp.Or(cfg.Health, health.NewServer()))
	reflection.Register(server)
	return server
}

// NewInProcessServer returns a server with the same services and interceptors for REST, which reaches it through memory and
// has bounds of its own: all callers of REST share one connection, and Callers knows who they are.
func NewInProcessServer(cfg Config, callers *Callers) *grpc.Server {
	return newServer(cfg, callers.identify, []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxInProcess), grpc.MaxConcurrentStreams(math.MaxUint32), grpc.MaxHeaderListSize(1 << 20),
	})
}

func newServer(cfg Config, who caller, options []grpc.ServerOption) *grpc.Server {
	validator := protovalidate.GlobalValidator
	s, large := cfg.Statuses, cmp.Or(cfg.Large, NewLargeCalls())
	// Outermost first. The order of both chains is the same.
	options = append([]grpc.ServerOption{
		grpc.StatsHandler(knownMethods{otelgrpc.NewServerHandler(otelgrpc.WithMeterProvider(cfg.Meters))}), // Traces and metrics see everything, refusals too.
		grpc.ChainUnaryInterceptor(
			requestIDUnary,    // Everything below names the request.
			logUnary(cfg.Log), // Logs the status as the caller sees it,
			s.unary,           // which is made here from the errors of all below.
			recovery.UnaryServerInterceptor(recovery.WithRecoveryHandlerContext(s.recovered)), // A panic becomes an error.
			boundUnary,             // Everything below ends in time.
			authenticateUnary(who), // Everything below has a tenant.
			large.unary,            // Below, the request is decoded and validated.
		),
		grpc.ChainStreamInterceptor(
			observeStream(cfg.Log), s.stream,
			recovery.StreamServerInterceptor(recovery.WithRecoveryHandlerContext(s.recovered)),
			admitStream(who, validator),
		),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.UnknownServiceHandler(unknownMethod),
		// Most connections carry streams that are silent, and requests are small.
		grpc.ReadBufferSize(8 << 10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}, options...)
	server := grpc.NewServer(options...)
	server.RegisterService(decodingLast(refractv1.TaskService_ServiceDesc, validator), cfg.Tasks)
	server.RegisterService(decodingLast(refractv1.ModelService_ServiceDesc, validator), cfg.Models)
	server.RegisterService(decodingLast(refractv1.WebhookService_ServiceDesc, validator), cfg.Webhooks)
	server.RegisterService(decodingLast(refractv1.OperatorService_ServiceDesc, validator), cfg.Operators)
	server.RegisterService(decodingLast(refractv1.CallbackService_ServiceDesc, validator), cfg.Callbacks)
	return server
}

// unknownMethod refuses a method that there is not. gRPC itself would repeat its name, of any length.
func unknownMethod(any, grpc.ServerStream) error { return errNoMethod }
