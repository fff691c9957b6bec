package api

import (
	"context"
	"log/slog"

	"buf.build/go/protovalidate"
	"github.com/google/uuid"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// requestIDHeader is the metadata key under which callers may name a call, and are told its name.
const requestIDHeader = "x-request-id"

type requestIDKey struct{}

// requestIDOf returns the name of a call.
func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID names the call: by the caller's word where that is short and plain, else at random.
func withRequestID(ctx context.Context) context.Context {
	id := ""
	if values := metadata.ValueFromIncomingContext(ctx, requestIDHeader); len(values) > 0 && plain(values[0]) {
		id = values[0]
	}
	if id == "" {
		id = uuid.NewString()
	}
	ctx = logging.InjectFields(ctx, logging.Fields{"request_id", id})
	return context.WithValue(ctx, requestIDKey{}, id)
}

// plain tells whether a stranger's word is fit for logs.
func plain(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

func requestIDUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx = withRequestID(ctx)
	_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDHeader, requestIDOf(ctx))) // Fails only when the call has ended.
	return handler(ctx, req)
}

func requestIDStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx := withRequestID(stream.Context())
	_ = stream.SetHeader(metadata.Pairs(requestIDHeader, requestIDOf(ctx))) // Fails only when the call has ended.
	return handler(srv, &contextStream{ServerStream: stream, ctx: ctx})
}

// logOptions make one line a call, at a level that tells who has to act: nobody (debug) or the caller (info).
func logOptions() []logging.Option {
	return []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall),
		logging.WithLevels(func(code codes.Code) logging.Level {
			switch code {
			case codes.OK, codes.Canceled:
				return logging.LevelDebug
			default: // The cause of an internal error has a line of its own, at error.
				return logging.LevelInfo
			}
		}),
	}
}

func slogger(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		log.Log(ctx, slog.Level(level), msg, fields...) //nolint:sloglint // The interceptor's messages are constants.
	})
}

func logUnary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return logging.UnaryServerInterceptor(slogger(log), logOptions()...)
}

func logStream(log *slog.Logger) grpc.StreamServerInterceptor {
	return logging.StreamServerInterceptor(slogger(log), logOptions()...)
}

func validateUnary(v protovalidate.Validator) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if m, ok := req.(proto.Message); ok {
			if err := v.Validate(m); err != nil {
				return nil, err
			}
		}
		return handler(ctx, req)
	}
}

func validateStream(v protovalidate.Validator) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return handler(srv, &validatedStream{ServerStream: stream, validator: v})
	}
}

// validatedStream validates every message it receives.
type validatedStream struct {
	grpc.ServerStream
	validator protovalidate.Validator
}

// RecvMsg receives and validates.
func (s *validatedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if m, ok := m.(proto.Message); ok {
		return s.validator.Validate(m)
	}
	return nil
}
