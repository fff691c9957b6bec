// Package worker does the work that tasks make necessary in the background: preparing sources, sending attempts, asking
// providers about them, saving results, and ending overdue tasks. A worker loads, calls one port, and hands
// the verdict to package lifecycle.
//
// Submit and save are jobs of the queue: enqueued in the transaction that makes them necessary, run at least
// once, on any replica. A job that dies with its process is run again; package task makes sure that sending
// is not repeated, and saving may be. Checks are no jobs but dates on attempts, because an attempt has
// exactly one next check, which callbacks bring forward. Preparations are rows that replicas lease, because many tasks
// may wait for one.
package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Tasks is what the workers read.
type Tasks interface {
	TaskOfAttempt(ctx context.Context, id task.AttemptID) (task.Task, error)
}

// Troubles is where it is kept why outputs are not saved yet.
type Troubles interface {
	// NoteSaveTrouble notes what a try met, and returns what is known since the job began that saves the outputs.
	NoteSaveTrouble(ctx context.Context, id task.AttemptID, began time.Time, n lifecycle.SaveFailure) (lifecycle.SaveTrouble, error)
}

// Config is what the workers work with.
type Config struct {
	Lifecycle *lifecycle.Lifecycle
	Tasks     Tasks
	Troubles  Troubles
	Accounts  provider.Accounts
	Queries   Queries
	Sources   Sources
	// Preparations is where the work on sources is kept that takes longer.
	Preparations Preparations
	// SourcePatience is how long is waited for sources.
	SourcePatience SourcePatience
	Retention      Retention
	// SweepOrphans deletes old files that no row names. The bucket must be this database's alone.
	SweepOrphans bool
	Media        *media.Saver
	Patience     Patience
	// CallbackURL returns the URL that a provider account is to call about an attempt. It is a secret.
	CallbackURL func(account string, id task.AttemptID) (string, error)
	// Now tells the time as the database has it, since jobs and attempts carry the database's times.
	Now   func() time.Time
	Meter metric.Meter
	Log   *slog.Logger
}

// Workers do the background work.
type Workers struct {
	lifecycle      *lifecycle.Lifecycle
	tasks          Tasks
	troubles       Troubles
	upstreams      map[string]*upstream
	sources        Sources
	preparations   Preparations
	sourcePatience SourcePatience
	slow           slowSources
	preparer       *Preparer
	media          *media.Saver
	callbackURL    func(string, task.AttemptID) (string, error)
	now            func() time.Time
	log            *slog.Logger
	patience       Patience
	submitGate     *fair.Gate // For attempts that are about to be sent, by tenant and host of the source.
	saveGate       *fair.Gate // For attempts, by tenant and account.
	downloads      *fair.Gate // For results, by tenant and host.
	saves          *saveMetrics
	retainer       *Retainer
	working        working
	running        context.Context // Ends when saves are cut; the context of a job goes on, to write that down.
	cutSaves       context.CancelFunc
}

// New returns the workers.
func New(cfg Config) (*Workers, error) {
	all, err := upstreams(cfg.Accounts, cfg.Queries, cfg.Meter)
	if err != nil {
		return nil, err
	}
	saves, err := newSaveMetrics(cfg.Meter)
	if err != nil {
		return nil, err
	}
	retainer, err := retainer(cfg)
	if err != nil {
		return nil, err
	}
	w := &Workers{
		lifecycle: cfg.Lifecycle, tasks: cfg.Tasks, troubles: cfg.Troubles, upstreams: all, sources: cfg.Sources, media: cfg.Media, callbackURL: cfg.CallbackURL, now: cfg.Now, log: cfg.Log,
		patience: cfg.Patience.withDefaults(), saves: saves, retainer: retainer,
	}
	w.preparations, w.sourcePatience = cfg.Preparations, cfg.SourcePatience.withDefaults()
	w.submitGate = fair.New(submitLooksAtOnce, submitLooksWaiting)
	w.saveGate, w.downloads = fair.New(savesAtOnce, savesWaiting), fair.New(downloadsAtOnce, savesAtOnce*outputsAtOnce)
	w.preparer = newPreparer(w)
	w.running, w.cutSaves = context.WithCancel(context.Background())
	return w, nil
}

// CutSaves ends the saves that are under way, which another replica takes up again. It is for a stop, which
// would otherwise last as long as the slowest download.
func (w *Workers) CutSaves() { w.cutSaves() }

// Queue returns the configuration of the client that runs jobs. Its Start and Stop are the caller's.
func (w *Workers) Queue() *river.Config {
	workers := river.NewWorkers()
	river.AddWorker(workers, &submitter{Workers: w})
	river.AddWorker(workers, &saver{Workers: w})
	return &river.Config{
		Queues: map[string]river.QueueConfig{
			task.SubmitAttempt{}.Kind(): {MaxWorkers: submitWorkers},
			task.SaveOutputs{}.Kind():   {MaxWorkers: saveWorkers},
		},
		Workers:    workers,
		Middleware: []rivertype.Middleware{&w.working},
		// An idle pick-up takes as long as the cooldown, of which a submission is to lose little.
		FetchCooldown: 2 * time.Millisecond,
		// The queue judges by this replica's clock whether a job is lost, and one that is minutes ahead takes
		// submissions under way for that. Whoever reads Timeouts judges by the database's.
		RescueStuckJobsAfter: 24 * time.Hour,
		// A stop lets submissions finish.
		SoftStopTimeout: SoftStopTimeout,
		ErrorHandler:    jobErrors{log: w.log},
		Logger:          slog.New(atLeast{w.log.Handler(), slog.LevelWarn}),
		// NOTE: this is where the queue takes its time from, and meant for tests; nothing else lets it tell a wait by
		// the database's clock.
		Test: river.TestConfig{Time: queueTime{w.now}},
	}
}

// Timeouts are how long jobs of each kind may take, from the time that a replica took one up. One that takes longer
// was lost.
func (w *Workers) Timeouts() map[string]time.Duration {
	const grace = 10 * time.Second // To write down what became of it.
	return map[string]time.Duration{
		task.SubmitAttempt{}.Kind(): submitTimeout + grace,
		task.SaveOutputs{}.Kind():   turnTimeout + saveTimeout + settleTimeout + grace,
	}
}

// queueTime is the time of the job queue. Where that can, it lets the database itself say what time it is.
type queueTime struct{ now func() time.Time }

// Now returns the time.
func (q queueTime) Now() time.Time { return q.now() }

// NowOrNil returns nil, which stands for the database's clock.
func (queueTime) NowOrNil() *time.Time { return nil }

// SoftStopTimeout is how long jobs under way are let finish when the service stops: a submission waits up to
// 30 seconds for its answer.
const SoftStopTimeout = 35 * time.Second

// retryAt is when a job is tried again after its nth try failed: after 1 s, 2 s, 4 s and so on, up to 2 minutes.
func (w *Workers) retryAt(try int) time.Time {
	return w.now().Add(min(time.Second<<min(try-1, 10), 2*time.Minute))
}
