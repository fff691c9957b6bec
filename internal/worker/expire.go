package worker

import (
	"context"
	"time"
)

// expireTick is how often overdue tasks are looked for; deadlines are kept to about this.
const expireTick = time.Second

// RunExpiry ends overdue tasks until ctx ends.
func (w *Workers) RunExpiry(ctx context.Context) error {
	ticker := time.NewTicker(expireTick)
	defer ticker.Stop()
	for {
		if _, err := w.lifecycle.Expire(ctx); err != nil && ctx.Err() == nil {
			w.log.ErrorContext(ctx, "overdue tasks could not be ended; repeated", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
