// Package queue configures the job queue, River, for a replica: which kinds of jobs it works on, how many at a time, and by whose
// clock.
//
// A job is enqueued in the transaction that makes it necessary and runs at least once, on any replica. One whose replica dies is
// run again when its timeout is over by the database's clock. A stop lets jobs under way finish.
package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// SoftStopTimeout is how long jobs under way are let finish when the service stops: a submission waits up to 30 seconds for its
// answer.
const SoftStopTimeout = 35 * time.Second

// grace is what a job has beyond its timeout, to write down what became of it.
const grace = 10 * time.Second

// Kind is a kind of jobs.
type Kind struct {
	Name     string
	Workers  int                  // How many run at a time on a replica.
	Timeout  time.Duration        // Of one run.
	Register func(*river.Workers) // Adds what does the work.
}

// Config is what a queue is made of.
type Config struct {
	Kinds []Kind
	Now   func() time.Time // The time as the database has it, which jobs carry.
	Log   *slog.Logger
}

// Queue is the part of the job queue that is in this replica.
type Queue struct {
	cfg     Config
	working working
}

// New returns a queue.
func New(cfg Config) *Queue { return &Queue{cfg: cfg} }

// River returns the configuration of the client that runs jobs. Its Start and Stop are the caller's.
func (q *Queue) River() *river.Config {
	workers, queues := river.NewWorkers(), map[string]river.QueueConfig{}
	for _, k := range q.cfg.Kinds {
		k.Register(workers)
		queues[k.Name] = river.QueueConfig{MaxWorkers: k.Workers}
	}
	return &river.Config{
		Queues:     queues,
		Workers:    workers,
		Middleware: []rivertype.Middleware{&q.working},
		// An idle pick-up takes as long as the cooldown, of which a submission is to lose little.
		FetchCooldown: 2 * time.Millisecond,
		// The queue judges by this replica's clock whether a job is lost, and one that is minutes ahead takes
		// submissions under way for that. What reads Timeouts judges by the database's.
		RescueStuckJobsAfter: 24 * time.Hour,
		SoftStopTimeout:      SoftStopTimeout,
		ErrorHandler:         jobErrors{log: q.cfg.Log},
		Logger:               slog.New(atLeast{q.cfg.Log.Handler(), slog.LevelWarn}),
		// NOTE: this is where the queue takes its time from, and meant for tests; nothing else lets it judge a wait by
		// the database's clock.
		Test: river.TestConfig{Time: databaseTime{q.cfg.Now}},
	}
}

// Timeouts returns how long jobs of each kind may take, from the time that a replica took one up. One that takes longer was lost.
func (q *Queue) Timeouts() map[string]time.Duration {
	timeouts := map[string]time.Duration{}
	for _, k := range q.cfg.Kinds {
		timeouts[k.Name] = k.Timeout + grace
	}
	return timeouts
}

// Working reports whether this replica works on a job.
func (q *Queue) Working(job int64) bool {
	_, ok := q.working.jobs.Load(job)
	return ok
}

// working is which jobs this replica works on. The zero value is none.
type working struct {
	river.MiddlewareDefaults

	jobs sync.Map // Of job ids.
}

// Work notes a job while it lasts.
func (w *working) Work(ctx context.Context, job *rivertype.JobRow, do func(context.Context) error) error {
	w.jobs.Store(job.ID, nil)
	defer w.jobs.Delete(job.ID)
	return do(ctx)
}

// databaseTime is the time of the job queue. Where that can, it lets the database itself say what time it is.
type databaseTime struct{ now func() time.Time }

// Now returns the time.
func (d databaseTime) Now() time.Time { return d.now() }

// NowOrNil returns nil, which stands for the database's clock.
func (databaseTime) NowOrNil() *time.Time { return nil }

// RetryAfter returns how long after its nth try a job is tried again that failed: 1 s, 2 s, 4 s and so on, up to 2 minutes.
func RetryAfter(try int) time.Duration {
	return min(time.Second<<min(try-1, 10), 2*time.Minute)
}
