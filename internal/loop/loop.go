// Package loop contains timers of background work.
package loop

import (
	"context"
	"time"
)

// Sleep returns after a duration, or earlier with the error of ctx when ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Every calls a function at once and then once in each period, until ctx ends. If a call takes longer than a period, Every
// skips the missed calls. It always returns nil, and has an error result so that a Run method can return it.
func Every(ctx context.Context, period time.Duration, call func(context.Context)) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		call(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
