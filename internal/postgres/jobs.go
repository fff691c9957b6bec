package postgres

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

// quietDriver keeps the job queue from sending NOTIFY inside our transactions, where it would make all commits of the
// database follow each other. The client would moreover send one notification in 100 ms only, and leave what is
// enqueued right after it to the next poll, a second later. See wakeWorkers.
type quietDriver struct{ *riverpgxv5.Driver }

// SupportsListenNotify says that there is nobody to notify.
func (quietDriver) SupportsListenNotify() bool { return false }

// insertTime is the time at which jobs are inserted, as the queue asks for it.
//
// NOTE: it is a setting for tests, and the one way to keep the queue from dating jobs by this machine's clock.
type insertTime struct{ clock *Clock }

// early is how much too early jobs are dated, so that none waits where the clock was read badly.
const early = time.Second

// Now returns the time.
func (i *insertTime) Now() time.Time {
	if i.clock == nil {
		return time.Now()
	}
	return i.clock.Now().Add(-early)
}

// NowOrNil returns the time, or nil for that of the machine.
func (i *insertTime) NowOrNil() *time.Time {
	if i.clock == nil {
		return nil
	}
	return new(i.Now())
}

// newJobs returns a client of the job queue that only inserts, at the time given; workers run in a client of their own.
func newJobs(pool *pgxpool.Pool, at *insertTime, log *slog.Logger) (*river.Client[pgx.Tx], error) {
	jobs, err := river.NewClient(quietDriver{riverpgxv5.New(pool)}, &river.Config{Logger: log, Test: river.TestConfig{Time: at}})
	if err != nil {
		return nil, fmt.Errorf("prepare the job queue: %w", err)
	}
	return jobs, nil
}

// enqueue adds jobs, each to the queue of its kind, in the transaction that makes them necessary. They are tried
// for as long as it takes: a job that were thrown away would leave its task where it is.
func (s *Store) enqueue(ctx context.Context, tx pgx.Tx, jobs []task.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		params[i] = river.InsertManyParams{Args: j, InsertOpts: &river.InsertOpts{Queue: j.Kind(), MaxAttempts: math.MaxInt16}}
	}
	if _, err := s.jobs.InsertManyTx(ctx, tx, params); err != nil {
		return fmt.Errorf("enqueue jobs: %w", err)
	}
	return nil
}

// wakeWorkers tells the workers of all replicas of jobs that were committed. Workers that are not told find them within
// a second.
func (s *Store) wakeWorkers(jobs []task.Job) {
	for _, j := range jobs {
		s.notifier.addQueue(j.Kind())
	}
}
