package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/publicerr"
)

// requestIDKey is the metadata under which a request id travels in both directions.
const requestIDKey = "x-request-id"

// timeoutConn is a connection whose unary calls end after publicerr.CallTimeout. Their status does not claim that the
// caller's deadline has passed.
type timeoutConn struct{ grpc.ClientConnInterface }

func (c timeoutConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	_, _, err := publicerr.Within(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
	})
	return err
}

// newRoutes returns the router with the REST routes of TaskService, ModelService, WebhookService and OperatorService.
func newRoutes(refusals refuser, conn grpc.ClientConnInterface) *routes {
	s := &routes{refuser: refusals, parameters: map[string]protoreflect.MessageType{}, bodies: map[string]protoreflect.MessageDescriptor{}, verbs: map[string]bool{}, anyQuery: map[string]bool{}}
	s.ServeMux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, strictJSON{&runtime.JSONPb{}}),
		runtime.WithIncomingHeaderMatcher(toMetadata),
		runtime.WithMetadata(callerMetadata),
		runtime.WithOutgoingHeaderMatcher(toHeader),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithErrorHandler(s.gatewayError),
		runtime.WithRoutingErrorHandler(s.routingError),
		runtime.WithDisablePathLengthFallback(), // X-HTTP-Method-Override does not change the method.
		runtime.WithWriteContentLength(),
		runtime.WithMiddlewares(s.check),
	)
	err := errors.Join(
		refractv1.RegisterTaskServiceHandlerClient(context.Background(), s.ServeMux, refractv1.NewTaskServiceClient(conn)),
		refractv1.RegisterModelServiceHandlerClient(context.Background(), s.ServeMux, refractv1.NewModelServiceClient(conn)),
		refractv1.RegisterWebhookServiceHandlerClient(context.Background(), s.ServeMux, refractv1.NewWebhookServiceClient(conn)),
		refractv1.RegisterOperatorServiceHandlerClient(context.Background(), s.ServeMux, refractv1.NewOperatorServiceClient(conn)),
		s.readContract(refractv1.File_refract_v1_task_service_proto.Services().ByName("TaskService")),
		s.readContract(refractv1.File_refract_v1_model_service_proto.Services().ByName("ModelService")),
		s.readContract(refractv1.File_refract_v1_webhook_service_proto.Services().ByName("WebhookService")),
		s.readContract(refractv1.File_refract_v1_operator_service_proto.Services().ByName("OperatorService")),
	)
	if err != nil {
		panic(err) //nolint:forbidigo // Registration depends on generated code alone, so every test would find this.
	}
	return s
}

// toMetadata returns the metadata key of a header that reaches the gRPC server. The gateway always forwards Authorization as
// well.
func toMetadata(header string) (string, bool) {
	switch header {
	case "Traceparent":
		return "traceparent", true
	case "X-Request-Id":
		return requestIDKey, true
	default:
		return "", false
	}
}

// toHeader returns the header of metadata of the gRPC server that reaches callers.
func toHeader(key string) (string, bool) {
	if key == requestIDKey {
		return "X-Request-Id", true
	}
	return "", false
}

// forwardHeaders sets headers of metadata of the gRPC server, as the gateway does for its own handlers.
func forwardHeaders(w http.ResponseWriter, md metadata.MD) {
	for key, values := range md {
		if header, ok := toHeader(key); ok && len(values) > 0 {
			w.Header().Set(header, values[0])
		}
	}
}

// strictJSON decodes a body as exactly one message: unknown fields and data after the message are errors. Field names are
// lowerCamelCase, as in the OpenAPI document, or the names in proto.
type strictJSON struct{ *runtime.JSONPb }

func (strictJSON) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("encode %T: not a message", v)
	}
	return encode(m)
}

func (strictJSON) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		m, ok := v.(proto.Message)
		if !ok {
			return fmt.Errorf("decode %T: not a message", v)
		}
		body, err := io.ReadAll(r) // The body is in memory already, see routes.
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(body)) == 0 {
			return io.EOF // An empty body is the empty message.
		}
		return protojson.Unmarshal(body, m)
	})
}
