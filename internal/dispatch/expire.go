package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/loop"
)

// expireTick is how often overdue tasks are looked for; deadlines are kept to about this.
const expireTick = time.Second

// RunExpiry ends overdue tasks until ctx ends.
func RunExpiry(ctx context.Context, verbs *lifecycle.Lifecycle, log *slog.Logger) error {
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
