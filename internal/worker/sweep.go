package worker

import (
	"context"
	"time"
)

// How often the bucket is swept of what dead processes left, and how old that must be: a save takes a quarter of an hour at
// most, so nobody is at work on it any more.
const (
	sweepEvery = time.Hour
	sweepAge   = time.Hour
)

// RunSweep sweeps the bucket now and then until ctx ends.
func (w *Workers) RunSweep(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := w.media.Bucket.Sweep(ctx, w.now().Add(-sweepAge)); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "unfinished files could not be swept from the bucket; repeated", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
