// Package queue configures the job queue, River, for a replica: which kinds of jobs it works on, how many at a time, and by whose
// clock.
//
// A job is enqueued in the transaction that makes it necessary and runs at least once, on any replica. If its replica dies, it
// runs again after its timeout, by the database's clock. A stop lets running jobs finish.
package queue

import (
	"cmp"
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
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// SoftStopTimeout is how long running jobs may take to finish when the service stops: a submission waits up to 30 seconds for
// its answer.
const SoftStopTimeout = 35 * time.Second

// LeaveFor is how long a replica that yields leaves a new job to others: longer than the second after which each replica looks for jobs.
// A job that it takes then counts as started this long before its start.
const LeaveFor = 5 * time.Second

// grace is the time after its timeout in which a job may record its result.
const grace = 10*time.Second + LeaveFor

// Kind is a kind of jobs.
type Kind struct {
	Name     string
	Workers  int                  // How many jobs run at a time on a replica.
	Timeout  time.Duration        // Of one run.
	Register func(*river.Workers) // Adds the worker.
}

// Config is the configuration of a queue.
type Config struct {
	Pool    *pgxpool.Pool
	Direct  *pgxpool.Pool // Listens for new jobs, on a session of its own. Nil means Pool.
	Replica string        // The name of this replica; see NewReplicaName.
	Kinds   []Kind
	Now     func() time.Time // The time by the database's clock, as in jobs.
	// Yield reports whether this replica could not finish a job now. It then takes only jobs that other replicas have left for LeaveFor.
	Yield func() bool
	Log   *slog.Logger
}

// Queue runs jobs of the shared job queue on this replica.
type Queue struct {
	cfg     Config
	client  *river.Client[pgx.Tx]
	working working
}

// NewReplicaName returns a unique name: the host name and a random suffix.
func NewReplicaName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown_host"
	}
	return fmt.Sprintf("%.60s_%.13s", host, rand.Text())
}

// New returns a queue that works on jobs between Start and Stop.
func New(cfg Config) (*Queue, error) {
	q := &Queue{cfg: cfg}
	client, err := river.NewClient(driver{riverpgxv5.New(cfg.Pool), cmp.Or(cfg.Direct, cfg.Pool), q.takesBefore}, q.config())
	if err != nil {
		return nil, fmt.Errorf("prepare the job queue: %w", err)
	}
	q.client = client
	return q, nil
}

// takesBefore returns the time before which a job must have been ready so that this replica takes it. Nil stands for now, by the
// database's clock.
func (q *Queue) takesBefore() *time.Time {
	if !q.cfg.Yield() {
		return nil
	}
	before := q.cfg.Now().Add(-LeaveFor)
	return &before
}

// driver is River's, which listens on another pool than it works on, and which can leave jobs to other replicas.
type driver struct {
	*riverpgxv5.Driver

	direct      *pgxpool.Pool
	takesBefore func() *time.Time
}

// GetExecutor returns an executor that leaves jobs to other replicas.
func (d driver) GetExecutor() riverdriver.Executor {
	return executor{d.Driver.GetExecutor(), d.takesBefore}
}

type executor struct {
	riverdriver.Executor

	takesBefore func() *time.Time
}

// JobGetAvailable takes jobs.
func (e executor) JobGetAvailable(ctx context.Context, params *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	those := *params
	those.Now = e.takesBefore()
	return e.Executor.JobGetAvailable(ctx, &those)
}

// GetListener returns a listener whose connection keeps its session. It passes over orders.
func (d driver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return hintListener{riverpgxv5.New(d.direct).GetListener(params)}
}

// controlTopic is where River receives orders to pause queues and to cancel jobs. The service sends none.
const controlTopic = "river_control"

// hintListener passes over notifications that are orders, so that those that are left, such as that of a new job, are hints.
//
// NOTE: PostgreSQL lets every role notify, also that of an ingress. An order could cancel a submission that is under way, for good.
type hintListener struct{ riverdriver.Listener }

// WaitForNotification waits for a hint.
func (l hintListener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	for {
		n, err := l.Listener.WaitForNotification(ctx)
		if err != nil || n.Topic != controlTopic {
			return n, err
		}
	}
}

// Start begins to run jobs. The end of ctx cancels the running ones.
func (q *Queue) Start(ctx context.Context) error {
	if err := q.client.Start(ctx); err != nil {
		return fmt.Errorf("start the job queue: %w", err)
	}
	return nil
}

// Stop makes the queue start no more jobs, and waits until the running ones have finished or ctx ends.
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
		// An idle queue starts a new job after the cooldown. A short one keeps submissions fast.
		FetchCooldown: 2 * time.Millisecond,
		// River decides by this replica's clock whether a job is stuck. A clock that is minutes ahead would make running
		// submissions look stuck, so River practically never rescues. The reader of Timeouts rescues by the database's clock.
		RescueStuckJobsAfter: 24 * time.Hour,
		SoftStopTimeout:      SoftStopTimeout,
		ErrorHandler:         jobErrors{log: q.cfg.Log},
		Logger:               slog.New(atLeast{q.cfg.Log.Handler(), slog.LevelWarn}),
		// NOTE: River intends this field for tests. No other setting makes River compare times by the database's clock.
		Test: river.TestConfig{Time: databaseTime{q.cfg.Now}},
	}
}

// Timeouts returns how long jobs of each kind may take after a replica has started them. A job that takes longer is lost.
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

// working is the set of jobs that run on this replica. The zero value is an empty set.
type working struct {
	river.MiddlewareDefaults

	jobs sync.Map // Of job ids.
}

// Work keeps a job in the set while it runs.
func (w *working) Work(ctx context.Context, job *rivertype.JobRow, do func(context.Context) error) error {
	w.jobs.Store(job.ID, nil)
	defer w.jobs.Delete(job.ID)
	return do(ctx)
}

// databaseTime gives River the database's time. Where River supports it, its statements read the database's clock themselves.
type databaseTime struct{ now func() time.Time }

// Now returns the time.
func (d databaseTime) Now() time.Time { return d.now() }

// NowOrNil returns nil, which stands for the database's clock.
func (databaseTime) NowOrNil() *time.Time { return nil }

// RetryAfter returns the backoff after the nth failed try of a job: 1 s, 2 s, 4 s and so on, up to 2 minutes.
func RetryAfter(try int) time.Duration {
	return min(time.Second<<min(try-1, 10), 2*time.Minute)
}
