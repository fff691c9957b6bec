package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

// missingJobsTick is how often missing jobs are looked for.
const missingJobsTick = 20 * time.Second

// JobStore finds what should be in the job queue. *postgres.Tasks is one.
type JobStore interface {
	// EnqueueMissing enqueues the jobs that attempts wait for and that are not in the queue, and returns how many those are.
	EnqueueMissing(ctx context.Context) (int, error)
}

// RunMissingJobs enqueues missing jobs until ctx ends.
func RunMissingJobs(ctx context.Context, store JobStore, log *slog.Logger) error {
	return loop.Every(ctx, missingJobsTick, func(ctx context.Context) {
		jobs, err := store.EnqueueMissing(ctx)
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "search for missing jobs failed; will retry", "error", err)
		}
		if jobs > 0 {
			log.WarnContext(ctx, "jobs were missing in the queue, as after a failover that lost commits, and were added", "jobs", jobs)
		}
	})
}
