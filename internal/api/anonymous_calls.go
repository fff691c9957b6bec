package api

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/publicerr"
)

// maxOpenCalls is the maximum number of concurrent calls of one connection to methods without credentials, such as health
// and reflection. Each call may last as long as its connection, and keeps its metadata in memory.
const maxOpenCalls = 100

// anonymousCalls counts the calls without credentials of each connection.
type anonymousCalls struct {
	mu    sync.Mutex
	calls map[string]int // By address of the caller.
}

func newAnonymousCalls() *anonymousCalls { return &anonymousCalls{calls: map[string]int{}} }

// tap refuses a call before gRPC creates its stream. It must not block, because it runs on the only reading goroutine of a
// connection.
func (s *anonymousCalls) tap(ctx context.Context, call *tap.Info) (context.Context, error) {
	if strings.LastIndexByte(call.FullMethodName, '/') <= 0 {
		return ctx, errNoMethod // The error of gRPC itself would repeat the name.
	}
	if needsCredentials(call.FullMethodName) {
		return ctx, nil
	}
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return ctx, nil
	}
	address := caller.Addr.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[address] == maxOpenCalls {
		return ctx, publicerr.New(codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_OVERLOADED,
			"the connection has too many calls without credentials: end some of them first", time.Second, nil).Err()
	}
	s.calls[address]++
	context.AfterFunc(ctx, func() { s.end(address) }) // The context of a call ends with it.
	return ctx, nil
}

func (s *anonymousCalls) end(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[address]--; s.calls[address] == 0 {
		delete(s.calls, address)
	}
}

// errNoMethod answers a call of a method that does not exist.
var errNoMethod = status.Error(codes.Unimplemented, "there is no such method; reflection lists those that there are")
