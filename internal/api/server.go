// Package api is the gRPC surface: it converts between the contract and the domain, calls one verb or
// query for each request, and turns errors into statuses in one place.
//
// Nothing here decides about tasks. When the database is out of reach callers get UNAVAILABLE and may call
// again; every call is idempotent or refuses to be repeated.
package api

import (
	"log/slog"
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
)

// maxRequest is the largest request in bytes: far above the largest valid one but a batch, which is a chunk of an
// upload, so that what is refused for its size is refused by the rule of its field. It bounds only batches, whose
// answer repeats the request and must stay under the 4 MiB that gRPC clients take by default.
const maxRequest = 3 << 20

// Config is what the server serves.
type Config struct {
	Tasks     *TaskService
	Operators *OperatorService
	Callbacks *CallbackService
	// Authenticate tells whose credentials these are. OperatorService is for operators alone.
	Authenticate Authenticate
	Statuses     *Statuses
	Meters       metric.MeterProvider // For what every call takes.
	Log          *slog.Logger
}

// NewServer returns a gRPC server with all services, health and reflection. Extra options are for
// credentials.
func NewServer(cfg Config, options ...grpc.ServerOption) (*grpc.Server, *health.Server, error) {
	validator, err := protovalidate.New()
	if err != nil {
		return nil, nil, err
	}
	s := cfg.Statuses
	cfg.Tasks.validate, cfg.Tasks.statuses = validator.Validate, s // A batch validates and answers item by item.
	// Outermost first. The order of both chains is the same.
	options = append([]grpc.ServerOption{
		grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithMeterProvider(cfg.Meters))), // Traces and metrics see everything, refusals too.
		grpc.ChainUnaryInterceptor(
			requestIDUnary,    // Everything below names the request.
			logUnary(cfg.Log), // Logs the status as the caller sees it,
			s.unary,           // which is made here from the errors of all below.
			recovery.UnaryServerInterceptor(recovery.WithRecoveryHandlerContext(s.recovered)), // A panic becomes an error.
			authenticateUnary(cfg.Authenticate),                                               // Strangers cost no validation.
			validateUnary(validator),                                                          // Handlers see only requests that obey the contract.
		),
		grpc.ChainStreamInterceptor(
			observeStream(cfg.Log), s.stream,
			recovery.StreamServerInterceptor(recovery.WithRecoveryHandlerContext(s.recovered)),
			admitStream(cfg.Authenticate, validator),
		),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxConcurrentStreams(100_000),
		// Most connections carry streams that are silent, and requests are small.
		grpc.ReadBufferSize(8 << 10),
		// Connections that died without a word are found within two minutes.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: time.Minute}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}, options...)
	server := grpc.NewServer(options...)
	refractv1.RegisterTaskServiceServer(server, cfg.Tasks)
	refractv1.RegisterOperatorServiceServer(server, cfg.Operators)
	refractv1.RegisterCallbackServiceServer(server, cfg.Callbacks)
	healthServer := health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, healthServer)
	reflection.Register(server)
	return server, healthServer, nil
}
