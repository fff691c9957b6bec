package provider

import (
	"context"
	"time"
)

type sendByKey struct{}

// WithSendBy returns a context for a submission whose request must leave by a time, or not at all.
func WithSendBy(ctx context.Context, by time.Time) context.Context {
	return context.WithValue(ctx, sendByKey{}, by)
}

// SendBy returns the time of WithSendBy, or false if there is none.
func SendBy(ctx context.Context) (by time.Time, limited bool) {
	by, limited = ctx.Value(sendByKey{}).(time.Time)
	return by, limited
}

// MaySend reports whether the request of a submission with this context may still leave. Without WithSendBy it always may.
//
// It compares the monotonic clock and the wall clock, and both must be before the limit. The monotonic clock stands still
// while a machine is suspended. The wall clock can be set back while a process is stopped.
func MaySend(ctx context.Context) bool {
	by, limited := SendBy(ctx)
	now := time.Now()
	return !limited || !now.After(by) && !now.Round(0).After(by.Round(0))
}
