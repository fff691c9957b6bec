package api

import (
	"context"
	"log/slog"
	"net/http"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/callback"
)

// CallbackReceiver receives callbacks. *callback.Receiver settles them as they arrive, and *callback.Intake stores them for a worker.
type CallbackReceiver interface {
	CheckToken(ctx context.Context, account, token string) error
	Receive(ctx context.Context, account, token string, header http.Header, body []byte) error
	CountOversized(ctx context.Context)
}

// CallbackService implements the contract's CallbackService.
type CallbackService struct {
	refractv1.UnimplementedCallbackServiceServer
	receiver CallbackReceiver
}

// NewCallbackService returns the callback service over a receiver.
func NewCallbackService(receiver CallbackReceiver) *CallbackService {
	return &CallbackService{receiver: receiver}
}

// ReceiveCallback receives one callback over gRPC. It bounds the body, as the ingress does for HTTP.
func (s *CallbackService) ReceiveCallback(ctx context.Context, req *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
	if len(req.GetBody()) > callback.MaxBody {
		s.receiver.CountOversized(ctx)
		return nil, callback.ErrTooLarge
	}
	return s.receive(ctx, req)
}

// receive passes on a callback whose body is within its bound.
func (s *CallbackService) receive(ctx context.Context, req *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	header := make(http.Header, len(md))
	for name, values := range md {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if err := s.receiver.Receive(ctx, req.GetProvider(), req.GetToken(), header, req.GetBody()); err != nil {
		return nil, err
	}
	return &refractv1.ReceiveCallbackResponse{Status: "received"}, nil
}

// InProcessCallbacks is the callback service of the ingress, which calls it without a connection: requests of strangers must
// not delay callers of REST, which share one connection.
type InProcessCallbacks struct {
	refractv1.UnimplementedCallbackServiceServer
	receiver CallbackReceiver
	statuses *Statuses
	handle   grpc.UnaryHandler
}

// NewInProcessCallbacks returns the callback service of the ingress. A call passes the interceptors of the gRPC server that
// need no caller: request id, log, status and time limit. The HTTP handler recovers from panics.
func NewInProcessCallbacks(service *CallbackService, statuses *Statuses, log *slog.Logger) *InProcessCallbacks {
	handle := func(ctx context.Context, req any) (any, error) {
		return service.receive(ctx, req.(*refractv1.ReceiveCallbackRequest))
	}
	info := &grpc.UnaryServerInfo{Server: service, FullMethod: refractv1.CallbackService_ReceiveCallback_FullMethodName}
	for _, intercept := range slices.Backward([]grpc.UnaryServerInterceptor{requestIDUnary, logUnary(log), statuses.unary, boundUnary}) {
		next := handle
		handle = func(ctx context.Context, req any) (any, error) { return intercept(ctx, req, info, next) }
	}
	return &InProcessCallbacks{receiver: service.receiver, statuses: statuses, handle: handle}
}

// CheckToken returns the status of a callback whose URL token is missing or forged. It needs no query.
func (s *InProcessCallbacks) CheckToken(ctx context.Context, provider, token string) error {
	return s.statuses.Convert(ctx, refractv1.CallbackService_ReceiveCallback_FullMethodName, s.receiver.CheckToken(ctx, provider, token))
}

// ReceiveCallback receives one callback, whose body is within callback.MaxBody.
func (s *InProcessCallbacks) ReceiveCallback(ctx context.Context, req *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
	resp, err := s.handle(ctx, req)
	if err != nil {
		return nil, err
	}
	return resp.(*refractv1.ReceiveCallbackResponse), nil
}
