package api

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/fair"
)

const (
	// largeAtOnce is how many large calls a replica works on at a time. Each takes a processor for milliseconds, so that more
	// at a time would only delay small ones. One tenant has half of the places at most, as by package fair.
	largeAtOnce = 8
	// largeWaiting is how many large calls wait for a place.
	largeWaiting = 256
	// largeOfTenant is how many large calls a tenant may have open, from the request until the answer was taken: each may hold
	// a request of 3 MiB and an answer of 4 MiB, for as long as its caller does not read.
	largeOfTenant = 16
	// largeRetry is when a large call that was refused makes sense again.
	largeRetry = time.Second
)

// largeCallsError refuses a large call of a tenant that has as many as its limit, or, without a limit, one of a replica at which
// too many wait.
type largeCallsError struct{ limit int }

// Error says what to do.
func (e *largeCallsError) Error() string {
	if e.limit == 0 {
		return "too many lists and batches wait at this replica: call again, or another replica"
	}
	return fmt.Sprintf("the tenant has %d lists and batches under way at this replica, which are as many as it may have: wait for some of them", e.limit)
}

// LargeCalls bounds the calls with large requests or answers: lists and batches. The servers of a replica share one. It may be
// used concurrently.
type LargeCalls struct {
	turns *fair.Gate

	mu   sync.Mutex
	open map[string]int // By tenant.
}

// NewLargeCalls returns the bounds of a replica.
func NewLargeCalls() *LargeCalls {
	return &LargeCalls{turns: fair.New(largeAtOnce, largeWaiting), open: map[string]int{}}
}

// isLarge reports whether a method is a list or a batch.
func isLarge(method string) bool {
	return strings.HasPrefix(path.Base(method), "List") || method == refractv1.TaskService_BatchSubmitTasks_FullMethodName
}

// unary stands below the authentication of a call.
func (l *LargeCalls) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !isLarge(info.FullMethod) {
		return handler(ctx, req)
	}
	tenant := tenantOf(ctx)
	p := l.enter(tenant)
	if p == nil {
		return nil, &largeCallsError{limit: largeOfTenant}
	}
	answered := false
	defer func() {
		if !answered {
			p.leave()
		}
	}()
	done, err := l.turns.Acquire(ctx, fair.Claim{Tenant: tenant, Due: time.Now()})
	if errors.Is(err, fair.ErrFull) {
		return nil, &largeCallsError{}
	}
	if err != nil {
		return nil, err
	}
	defer done()
	// NOTE: a compressed answer would wait for its caller in another buffer, and the place would come back before it was taken.
	_ = grpc.SetSendCompressor(ctx, encoding.Identity) // Fails only where there is no compression to turn off.
	resp, err := handler(ctx, req)
	m, ok := resp.(proto.Message)
	if err != nil || !ok {
		return resp, err
	}
	answered = true
	return &largeAnswer{message: m, place: p}, nil
}

// enter returns a place of a tenant, or nil where it has none.
func (l *LargeCalls) enter(tenant string) *largePlace {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[tenant] == largeOfTenant {
		return nil
	}
	l.open[tenant]++
	p := &largePlace{leave: sync.OnceFunc(func() { l.left(tenant) })}
	// A connection that breaks drops its answers without a call of Put.
	runtime.AddCleanup(p, func(leave func()) { leave() }, p.leave)
	return p
}

func (l *LargeCalls) left(tenant string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[tenant]--; l.open[tenant] == 0 {
		delete(l.open, tenant)
	}
}

// largePlace is the place of one call. It is the pool that the buffer of the answer comes back to when gRPC has written it, or
// the call was canceled: the end of the call itself is earlier, since gRPC keeps what a caller does not take yet.
type largePlace struct{ leave func() }

// Get returns a buffer.
func (*largePlace) Get(size int) *[]byte { return mem.DefaultBufferPool().Get(size) }

// Put takes the buffer of the answer, and gives the place back.
func (p *largePlace) Put(buf *[]byte) {
	mem.DefaultBufferPool().Put(buf)
	p.leave()
}

// largeAnswer is an answer with the place that it holds.
type largeAnswer struct {
	message proto.Message
	place   *largePlace
}

// encode encodes the answer. One that is too short for a pool holds no place.
func (a *largeAnswer) encode() (mem.BufferSlice, error) {
	size := proto.Size(a.message)
	buf := a.place.Get(size)
	data, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend((*buf)[:0], a.message)
	if err != nil || mem.IsBelowBufferPoolingThreshold(cap(data)) {
		a.place.leave()
		return mem.BufferSlice{mem.SliceBuffer(data)}, err
	}
	return mem.BufferSlice{mem.NewBuffer(&data, a.place)}, nil
}
