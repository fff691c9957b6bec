// Package admission decides which queued task goes to a provider next, and when.
//
// Every replica runs a loop, and whichever holds the provider's account admits; the others pass. So limits
// hold for the fleet without anyone being elected: they are counted in the transaction that spends them.
// A round that fails because the database is out of reach admits nothing and is repeated.
package admission

import (
	"context"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

// tick is how often the loop looks without a wake: permits come back with time, and other
// replicas' submissions are not announced.
const tick = time.Second

// Loop admits tasks of one provider.
type Loop struct {
	// round admits what may go now and returns how much that was.
	round func(ctx context.Context) (int, error)
	wake  loop.Signal // There may be something to admit.
	log   *slog.Logger
}

// NewLoop returns a loop over rounds, of which wake starts one before its time.
func NewLoop(round func(context.Context) (int, error), wake loop.Signal, log *slog.Logger) *Loop {
	return &Loop{round: round, wake: wake, log: log}
}

// Run admits until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
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
