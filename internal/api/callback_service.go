package api

import (
	"context"
	"net/http"

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
