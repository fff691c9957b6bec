package replica

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/refract-video/refract/internal/task"
)

// Jobs inserts jobs into the job queue, River. It runs none: workers have a client of their own. Its methods may be called
// concurrently.
type Jobs struct {
	client   *river.Client[pgx.Tx]
	notifier *Notifier
}

// JobsConfig is what Jobs works with.
type JobsConfig struct {
	Pool *pgxpool.Pool
	// Clock dates jobs. Without one they have the date of this machine's clock, which may be wrong: a job with a date in the
	// future does not run before the database's clock reaches it.
	Clock *Clock
	// Notifier wakes the workers of all replicas. Without one they find new jobs within a second.
	Notifier *Notifier
	Log      *slog.Logger
}

// NewJobs returns what inserts jobs.
func NewJobs(cfg JobsConfig) (*Jobs, error) {
	client, err := river.NewClient(quietDriver{riverpgxv5.New(cfg.Pool)}, &river.Config{
		Logger: cfg.Log, Test: river.TestConfig{Time: insertTime{cfg.Clock}},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the job queue: %w", err)
	}
	return &Jobs{client: client, notifier: cfg.Notifier}, nil
}

// Insert adds jobs, each to the queue of its kind, in the transaction that makes them necessary. Their retries are not limited: a
// job that the queue discards would leave its task where it is.
func (j *Jobs) Insert(ctx context.Context, tx pgx.Tx, jobs []task.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, len(jobs))
	for i, job := range jobs {
		params[i] = river.InsertManyParams{Args: job, InsertOpts: &river.InsertOpts{Queue: job.Kind(), MaxAttempts: math.MaxInt16}}
	}
	if _, err := j.client.InsertManyTx(ctx, tx, params); err != nil {
		return fmt.Errorf("enqueue jobs: %w", err)
	}
	return nil
}

// Wake notifies the workers of all replicas that jobs were committed. It never blocks.
func (j *Jobs) Wake(jobs []task.Job) {
	if j.notifier == nil {
		return
	}
	for _, job := range jobs {
		j.notifier.addQueue(job.Kind())
	}
}

// quietDriver keeps the job queue from sending NOTIFY inside our transactions, where it would make all commits of the
// database follow each other. The client would also send only one notification in 100 ms, and leave what is
// enqueued right after it to the next poll, a second later. Wake replaces it.
type quietDriver struct{ *riverpgxv5.Driver }

// SupportsListenNotify returns false, so that the client sends no notification.
func (quietDriver) SupportsListenNotify() bool { return false }

// insertTime is the time at which jobs are inserted, as the queue asks for it.
//
// NOTE: the queue has this setting for tests. Nothing else keeps it from dating jobs by this machine's clock.
type insertTime struct{ clock *Clock }

// early is subtracted from the date of jobs, so that none waits when the clock was read inexactly.
const early = time.Second

// Now returns the time.
func (i insertTime) Now() time.Time {
	if i.clock == nil {
		return time.Now()
	}
	return i.clock.Now().Add(-early)
}

// NowOrNil returns the time, or nil for that of the machine.
func (i insertTime) NowOrNil() *time.Time {
	if i.clock == nil {
		return nil
	}
	return new(i.Now())
}
