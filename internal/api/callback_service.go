package api

import (
	"context"
	"log/slog"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/callback"
)

// CallbackService implements the contract's CallbackService.
type CallbackService struct {
	refractv1.UnimplementedCallbackServiceServer
	receiver *callback.Receiver
}

// NewCallbackService returns the callback service over a receiver.
func NewCallbackService(receiver *callback.Receiver) *CallbackService {
	return &CallbackService{receiver: receiver}
}

// ReceiveCallback takes one callback.
func (s *CallbackService) ReceiveCallback(ctx context.Context, req *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
	header := http.Header{}
	md, _ := metadata.FromIncomingContext(ctx)
	for name, values := range md {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if err := s.receiver.Receive(ctx, req.GetProvider(), req.GetToken(), header, req.GetBody()); err != nil {
		return nil, err
	}
	return &refractv1.ReceiveCallbackResponse{Status: "received"}, nil
}

// InProcessCallbacks is the callback service for the ingress, which calls it without a connection: what strangers do to one
// must not reach callers of REST, nor the other way round. It names and logs calls, and makes statuses of errors, as the
// interceptors of a server do.
type InProcessCallbacks struct {
	refractv1.UnimplementedCallbackServiceServer
	service  *CallbackService
	statuses *Statuses
	log      grpc.UnaryServerInterceptor
}

// NewInProcessCallbacks returns the callback service for the ingress.
func NewInProcessCallbacks(service *CallbackService, statuses *Statuses, log *slog.Logger) *InProcessCallbacks {
	return &InProcessCallbacks{service: service, statuses: statuses, log: logUnary(log)}
}

// CheckToken returns the status of a callback whose URL token is missing or forged. It reads nothing but memory.
func (s *InProcessCallbacks) CheckToken(ctx context.Context, provider, token string) error {
	return s.statuses.Convert(ctx, refractv1.CallbackService_ReceiveCallback_FullMethodName, s.service.receiver.CheckToken(ctx, provider, token))
}

// ReceiveCallback takes one callback.
func (s *InProcessCallbacks) ReceiveCallback(ctx context.Context, req *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
	info := &grpc.UnaryServerInfo{Server: s, FullMethod: refractv1.CallbackService_ReceiveCallback_FullMethodName}
	resp, err := requestIDUnary(ctx, req, info, func(ctx context.Context, _ any) (any, error) {
		return s.log(ctx, req, info, func(ctx context.Context, _ any) (any, error) {
			return s.statuses.unary(ctx, req, info, func(ctx context.Context, _ any) (any, error) {
				return s.service.ReceiveCallback(ctx, req)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return resp.(*refractv1.ReceiveCallbackResponse), nil
}
