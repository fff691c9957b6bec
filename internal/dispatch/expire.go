package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/loop"
)

// expireTick is how often overdue tasks are ended, and so about how late a task may be ended after its deadline.
const expireTick = time.Second

// Expirer ends overdue tasks, and returns how many it found: lifecycle.ExpireBatch if there may be more. *lifecycle.Lifecycle
// implements it.
type Expirer interface {
	Expire(ctx context.Context) (int, error)
}

// RunExpiry ends overdue tasks until ctx ends.
func RunExpiry(ctx context.Context, verbs Expirer, log *slog.Logger) error {
	return loop.Every(ctx, expireTick, func(ctx context.Context) {
		for found := lifecycle.ExpireBatch; found == lifecycle.ExpireBatch; {
			var err error
			if found, err = verbs.Expire(ctx); err != nil {
				if ctx.Err() == nil {
					log.ErrorContext(ctx, "overdue tasks could not be ended; will retry", "error", err)
				}
				return
			}
		}
	})
}
