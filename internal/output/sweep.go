package output

import (
	"context"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

// How often the bucket is swept of what dead processes left, and how old that must be: a save takes a quarter of an hour at
// most, so no replica is at work on it any more.
const (
	sweepEvery = time.Hour
	sweepAge   = time.Hour
)

// RunSweep removes unfinished files from the bucket once an hour until ctx ends.
func (s *Saver) RunSweep(ctx context.Context) error {
	return loop.Every(ctx, sweepEvery, func(ctx context.Context) {
		if err := s.Media.Bucket.Sweep(ctx, s.Now().Add(-sweepAge)); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "sweep of unfinished files failed; will retry", "error", err)
		}
	})
}
