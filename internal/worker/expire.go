package worker

import (
	"context"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
)

// expireTick is how often overdue tasks are looked for; deadlines are kept to about this.
const expireTick = time.Second

// RunExpiry ends overdue tasks until ctx ends.
func (w *Workers) RunExpiry(ctx context.Context) error {
	ticker := time.NewTicker(expireTick)
	defer ticker.Stop()
	for {
		found, err := w.lifecycle.Expire(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.ErrorContext(ctx, "overdue tasks could not be ended; repeated", "error", err)
		}
		if err == nil && found == lifecycle.ExpireBatch {
			continue // There may be more.
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
