package api

import (
	"context"
	"log/slog"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/refract-video/refract/internal/publicerr"
)

// requestIDHeader is the metadata key of the id of a call. Callers may send one, and the answer carries it.
const requestIDHeader = "x-request-id"

type requestIDKey struct{}

// requestIDOf returns the id of a call.
func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID gives the call an id: the caller's where it is plain, else a random one.
func withRequestID(ctx context.Context) context.Context {
	id := ""
	if values := metadata.ValueFromIncomingContext(ctx, requestIDHeader); len(values) > 0 && plain(values[0]) {
		id = values[0]
	}
	if id == "" {
		id = uuid.NewString()
	}
	return context.WithValue(ctx, requestIDKey{}, id)
}

// plain reports whether an id from a caller is short and visible ASCII, and so fit for logs.
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
	ctx = logging.InjectFields(ctx, logging.Fields{"request_id", requestIDOf(ctx)})
	resp, err := handler(ctx, req)
	md := metadata.Pairs(requestIDHeader, requestIDOf(ctx))
	if err != nil {
		// NOTE: clients repeat a call that ended with UNAVAILABLE only where no header came before the status.
		_ = grpc.SetTrailer(ctx, md) // Fails only when the call has ended.
		return resp, err
	}
	_ = grpc.SetHeader(ctx, md) // The same.
	return resp, nil
}

// logOptions write one line for each call: at level info where the caller has to act, else at level debug.
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

// boundUnary ends a call in time.
//
// NOTE: what waits for a connection to the database has no other bound, and a database that hangs keeps all of them for as
// long as a statement may take. The client library does not repeat such a call at once: it would wait for as long again.
func boundUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, ended, err := publicerr.Within(ctx, func(ctx context.Context) (any, error) { return handler(ctx, req) })
	if ended {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", "-1")) // Fails only when the call has ended.
	}
	return resp, err
}

// observeStream gives a stream an id, and logs its end as logUnary does for a call.
//
// NOTE: a hundred thousand streams may wait at the bottom of this chain, so what it keeps on stack and heap counts a
// hundred thousand times. With the frames that there are, a waiting goroutine has a stack of 8 KiB; a few hundred bytes
// more would make that 16. The library's interceptor would keep a kilobyte of fields for each stream, too.
func observeStream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		began, ctx := time.Now(), withRequestID(stream.Context())
		_ = stream.SetHeader(metadata.Pairs(requestIDHeader, requestIDOf(ctx))) // Fails only when the call has ended.
		err := handler(srv, &contextStream{ServerStream: stream, ctx: ctx})
		logEnd(ctx, log, info, began, err)
		return err
	}
}

// logEnd logs the end of a stream. A replica that drains ends all watches at once, which needs no action.
func logEnd(ctx context.Context, log *slog.Logger, info *grpc.StreamServerInfo, began time.Time, err error) {
	level, code := slog.LevelInfo, status.Code(err)
	if code == codes.OK || code == codes.Canceled || code == codes.Unavailable && !info.IsClientStream {
		level = slog.LevelDebug
	}
	if !log.Enabled(ctx, level) {
		return
	}
	service, method := path.Split(strings.TrimPrefix(info.FullMethod, "/"))
	fields := logging.Fields{ // Under the names that the library gives unary calls.
		"protocol", "grpc", "grpc.service", strings.TrimSuffix(service, "/"), "grpc.method", method, "request_id", requestIDOf(ctx),
		"grpc.code", code.String(), "grpc.error", message(err), "grpc.time_ms", time.Since(began).Milliseconds(),
	}
	log.Log(ctx, level, "finished call", fields...)
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
