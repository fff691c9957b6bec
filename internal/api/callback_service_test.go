package api

import (
	"errors"
	"log/slog"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/callback"
)

// TestReceiveCallback_BoundsTheBody sends bodies over gRPC, which bounds only messages. One within the bound is refused for its token.
func TestReceiveCallback_BoundsTheBody(t *testing.T) {
	t.Parallel()
	receiver, err := callback.NewReceiver(callback.Config{Meter: noop.Meter{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	service := NewCallbackService(receiver)
	for size, want := range map[int]error{callback.MaxBody: callback.ErrToken, callback.MaxBody + 1: callback.ErrTooLarge} {
		_, err := service.ReceiveCallback(t.Context(), &refractv1.ReceiveCallbackRequest{Provider: "kie", Body: make([]byte, size)})
		if !errors.Is(err, want) {
			t.Errorf("a body of %d bytes is answered %v, want %v", size, err, want)
		}
	}
}
