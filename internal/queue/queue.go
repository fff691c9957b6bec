// Package queue configures the job queue, River, for a replica: which kinds of jobs it works on, how many at a time, and by whose
// clock.
//
// A job is enqueued in the transaction that makes it necessary and runs at least once, on any replica. One whose replica dies is
// run again when its timeout is over by the database's clock. A stop lets jobs under way finish.
package queue

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
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
	Pool    *pgxpool.Pool
	Replica string // The name of this replica; see NewReplicaName.
	Kinds   []Kind
	Now     func() time.Time // The time as the database has it, which jobs carry.
	Log     *slog.Logger
}

// Queue is the part of the job queue that is in this replica.
type Queue struct {
	cfg     Config
	client  *river.Client[pgx.Tx]
	working working
}

// NewReplicaName returns a name that no other replica has: that of the machine, and something random.
func NewReplicaName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown_host"
	}
	return fmt.Sprintf("%.60s_%.13s", host, rand.Text())
}

// New returns a queue, which works on jobs between Start and Stop.
func New(cfg Config) (*Queue, error) {
	q := &Queue{cfg: cfg}
	client, err := river.NewClient(riverpgxv5.New(cfg.Pool), q.config())
	if err != nil {
		return nil, fmt.Errorf("prepare the job queue: %w", err)
	}
	q.client = client
	return q, nil
}

// Start takes up jobs until Stop. The end of ctx cancels the jobs under way.
func (q *Queue) Start(ctx context.Context) error {
	if err := q.client.Start(ctx); err != nil {
		return fmt.Errorf("start the job queue: %w", err)
	}
	return nil
}

// Stop takes up no more jobs, and waits until those under way have finished or ctx ends.
func (q *Queue) Stop(ctx context.Context) error { return q.client.Stop(ctx) }

// config returns the configuration of the client that runs jobs.
func (q *Queue) config() *river.Config {
	workers, queues := river.NewWorkers(), map[string]river.QueueConfig{}
	for _, k := range q.cfg.Kinds {
		k.Register(workers)
		queues[k.Name] = river.QueueConfig{MaxWorkers: k.Workers}
	}
	return &river.Config{
		ID:         q.cfg.Replica,
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
