package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

// admitTick is how often the loop looks without a wake: permits come back with time, and other
// replicas' submissions are not announced.
const admitTick = time.Second

// AdmissionLoop admits tasks of one provider.
type AdmissionLoop struct {
	// round admits what may go now and returns how much that was.
	round func(ctx context.Context) (int, error)
	wake  loop.Signal // There may be something to admit.
	log   *slog.Logger
}

// NewAdmissionLoop returns a loop over rounds, of which wake starts one before its time.
func NewAdmissionLoop(round func(context.Context) (int, error), wake loop.Signal, log *slog.Logger) *AdmissionLoop {
	return &AdmissionLoop{round: round, wake: wake, log: log}
}

// Run admits until ctx ends.
func (l *AdmissionLoop) Run(ctx context.Context) error {
	ticker := time.NewTicker(admitTick)
	defer ticker.Stop()
	failing := false
	for {
		admitted, err := l.round(ctx)
		if err != nil && ctx.Err() == nil {
			if !failing {
				l.log.ErrorContext(ctx, "admission is interrupted; queued tasks wait", "error", err)
			}
			failing = true
		} else if failing {
			l.log.InfoContext(ctx, "admission works again")
			failing = false
		}
		if admitted > 0 && ctx.Err() == nil {
			continue // A round is bounded, so there may be more.
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-ticker.C:
		}
	}
}
