// Package output brings the results of attempts into the bucket.
//
// A save downloads each result and records the outputs. It asks the provider for the links unless they are known. It is a job that runs at least once.
// If a replica dies, the sweep removes its files, and the job starts again. A failure of the provider or its hosts counts as a
// try, and the number of tries is limited. A failure of our storage or database does not count: the save continues until the
// links expire.
package output

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/errgroup"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/queue"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tracing"
	"github.com/refract-video/refract/internal/upstream"
)

const (
	// saveTimeout bounds one try to save all outputs of an attempt. settleTimeout bounds the record of its result.
	saveTimeout   = 15 * time.Minute
	settleTimeout = time.Minute
	// takeBackTimeout bounds the removal of files that are not needed. A service that stops waits for it.
	takeBackTimeout = 10 * time.Second
	// outputsAtOnce is how many outputs of one attempt are downloaded at a time.
	outputsAtOnce = 4
	// notReadyWait is the pause before the next try if the provider has reported a success but shows no result yet.
	notReadyWait = 5 * time.Second
	// stoppedPause is the pause before another replica resumes a save that a stop interrupted.
	stoppedPause = time.Second
)

// Patience bounds the tries of a save, after which its task fails. Zero fields mean the defaults.
type Patience struct {
	// Tries is the maximum number of tries, 12 by default. With the pauses between them, they take at least ten minutes.
	Tries int
	// Limit is the total time of all tries, an hour by default. A save gets at least two tries.
	Limit time.Duration
	// NotReady is how long the provider may show no result after a callback has reported one, 30 minutes by default.
	NotReady time.Duration
	// NoLinks is how long the provider may report success without a link to the result, 10 minutes by default.
	NoLinks time.Duration
}

func (p Patience) withDefaults() Patience {
	if p.Tries == 0 {
		p.Tries = 12
	}
	if p.Limit == 0 {
		p.Limit = time.Hour
	}
	if p.NotReady == 0 {
		p.NotReady = 30 * time.Minute
	}
	if p.NoLinks == 0 {
		p.NoLinks = 10 * time.Minute
	}
	return p
}

// The errors of a provider that has no result. Package media has the errors of downloads.
var (
	errNotReady = errors.New("the provider shows no result yet")
	errNoLinks  = errors.New("the provider reports success, but names no result file")
	errNoResult = errors.New("the provider reports that the generation failed")
)

// Saver saves the outputs of attempts in the bucket.
type Saver struct {
	river.WorkerDefaults[task.SaveOutputs]
	Config

	gate      *fair.Gate // For attempts, by tenant and account.
	downloads *fair.Gate // For results, by tenant and host.
	saves     *saveMetrics
	running   context.Context // Ends at Cut. The context of a job continues, so that the job can record the interruption.
	cut       context.CancelFunc
}

// Config is the configuration of a saver.
type Config struct {
	Lifecycle Lifecycle
	Tasks     Tasks
	Troubles  Troubles
	Accounts  upstream.Accounts
	Media     *media.Saver
	Patience  Patience
	Now       func() time.Time // The time by the database's clock, as in jobs and attempts.
	Meter     metric.Meter
	Log       *slog.Logger
}

// Lifecycle settles the results of saves.
type Lifecycle interface {
	SettleSave(ctx context.Context, id task.AttemptID, outputs []task.Output, failure *task.SaveFailed) (recorded bool, err error)
	SettleCheck(ctx context.Context, c lifecycle.Check, status provider.Status, answer error) error
}

// Tasks reads tasks.
type Tasks interface {
	TaskOfAttempt(ctx context.Context, id task.AttemptID) (task.Task, error)
}

// Troubles records why outputs are not saved yet.
type Troubles interface {
	// NoteSaveTrouble records the failure of a try. It returns the sum of the failures since the job began.
	NoteSaveTrouble(ctx context.Context, id task.AttemptID, began time.Time, n task.SaveTry) (task.SaveTrouble, error)
}

// New returns a saver.
func New(cfg Config) (*Saver, error) {
	saves, err := newSaveMetrics(context.Background(), cfg.Meter, cfg.Accounts)
	if err != nil {
		return nil, err
	}
	cfg.Patience = cfg.Patience.withDefaults()
	s := &Saver{Config: cfg, gate: fair.New(savesAtOnce, savesWaiting), downloads: fair.New(downloadsAtOnce, savesAtOnce*outputsAtOnce), saves: saves}
	s.running, s.cut = context.WithCancel(context.Background())
	return s, nil
}

// Kind returns the kind of job that a saver works on.
func (s *Saver) Kind() queue.Kind {
	return queue.Kind{
		Name: task.SaveOutputs{}.Kind(), Workers: saveWorkers, Timeout: s.Timeout(nil),
		Register: func(w *river.Workers) { river.AddWorker(w, s) },
	}
}

// Cut interrupts the running saves, and another replica resumes them. Without Cut, a stop would last as long as the slowest
// download.
func (s *Saver) Cut() { s.cut() }

// Timeout bounds one try.
func (s *Saver) Timeout(*river.Job[task.SaveOutputs]) time.Duration {
	return turnTimeout + saveTimeout + settleTimeout
}

// NextRetry waits longer with every try.
func (s *Saver) NextRetry(job *river.Job[task.SaveOutputs]) time.Time {
	return s.Now().Add(queue.RetryAfter(job.Attempt))
}

// Work saves the outputs. The links come from the provider's answer, or from a callback with a signature that covers them.
func (s *Saver) Work(ctx context.Context, job *river.Job[task.SaveOutputs]) error {
	id := job.Args.AttemptID
	t, err := s.Tasks.TaskOfAttempt(ctx, id)
	if errors.Is(err, lifecycle.ErrAttemptNotFound) {
		return river.JobCancel(err) // Retention removed the task.
	}
	if err != nil {
		return s.tryAgain(ctx, job, err)
	}
	ctx = tracing.Resume(ctx, t.TraceParent)
	a := t.AttemptByID(id)
	if a.State != task.AttemptSucceeded || a.Saved {
		return nil // It was settled in another way after the job was created.
	}
	leave, err := s.turn(ctx, job, t, *a)
	if err != nil {
		return err
	}
	defer leave()
	ctx, span := tracing.Start(ctx, t.TraceParent, "save outputs", time.Time{})
	tracing.Describe(span, &t, a)
	began := time.Now()
	s.saves.begin(ctx, a.Account, s.linkLeft(a.Account, job.CreatedAt))
	outputs, err := s.saveInTime(ctx, t, *a, job)
	defer tracing.End(span, outcomeOf(err)) // It has the record of the result too.
	if err == nil {
		s.saves.tried(ctx, a.Account, "saved", began)
		s.saves.saved(ctx, a.Account, outputs)
		if err := s.settle(ctx, id, outputs); err != nil {
			return s.tryAgain(ctx, job, err)
		}
		return nil
	}
	if errors.Is(err, errNoResult) {
		return nil // A callback had reported a result, but the provider reports a failure. links has settled it.
	}
	if ctx.Err() != nil || s.running.Err() != nil {
		s.saves.tried(ctx, a.Account, "interrupted", began)
		return river.JobSnooze(stoppedPause) // The try was interrupted, so it does not count.
	}
	s.saves.tried(ctx, a.Account, "failed", began)
	return s.failed(ctx, job, *a, err)
}

// permanent reports whether another try would fail in the same way. A file that is not a video gets two tries, because hosts in
// trouble serve pages in place of files.
func permanent(err error, try int) bool {
	return errors.Is(err, errNotReady) || errors.Is(err, errNoLinks) || errors.Is(err, media.ErrTooLarge) ||
		errors.Is(err, media.ErrBlocked) || errors.Is(err, media.ErrNotVideo) && try > 1
}

// settle records the outputs, unless another save of the same attempt was faster. In that case, it removes the files of this
// save. Two jobs can save one attempt: when a retry adopts the result of a canceled task, or when the queue rescues a job of a
// replica that is still alive.
func (s *Saver) settle(ctx context.Context, id task.AttemptID, outputs []task.Output) error {
	recorded, err := s.Lifecycle.SettleSave(ctx, id, outputs, nil)
	if !recorded && (err == nil || errors.Is(err, lifecycle.ErrAttemptNotFound)) { // After any other error they may be recorded.
		keys := make([]string, len(outputs))
		for i, o := range outputs {
			keys[i] = o.Key
		}
		s.takeBack(ctx, keys)
	}
	return err
}

// takeBack removes files that a save wrote but did not record, even while the service stops.
func (s *Saver) takeBack(ctx context.Context, keys []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTimeout)
	defer cancel()
	for _, key := range keys {
		if err := s.Media.Bucket.Delete(ctx, key); err != nil {
			s.Log.WarnContext(ctx, "deleting an unrecorded file failed; it may stay in the bucket", "key", key, "error", err)
		}
	}
}

// giveUp settles the attempt without outputs.
func (s *Saver) giveUp(ctx context.Context, a task.Attempt, err error, storage task.StorageTrouble) error {
	now, readErr := s.Tasks.TaskOfAttempt(ctx, a.ID)
	if readErr != nil {
		return readErr
	}
	if now.AttemptByID(a.ID).Saved {
		return nil // Another replica, which was believed dead, has saved the outputs.
	}
	failure := &task.SaveFailed{Attempt: a.ID, Reason: task.OutputUnavailable, Message: "save the result: " + publicMessage(err)}
	if errors.Is(err, media.ErrNotVideo) || errors.Is(err, media.ErrTooLarge) {
		failure.Reason = task.OutputInvalid
	}
	if storage.Cause != "" {
		failure.Message = storage.String() + ", and the provider's result is gone: " + failure.Message
	}
	s.saves.failed(ctx, a.Account, err)
	s.Log.WarnContext(ctx, "saving a result failed for good", "attempt_id", a.ID, "account", a.Account, "error", err, "cause", plain.Hidden(err))
	_, err = s.Lifecycle.SettleSave(ctx, a.ID, nil, failure)
	return err
}

// linkLeft returns the minimum time until the links of a result expire. since is when the result became known.
func (s *Saver) linkLeft(account string, since time.Time) time.Duration {
	u, err := s.Accounts.Of(account)
	if err != nil {
		return 0
	}
	return u.Capabilities().LinkLifetime - s.Now().Sub(since)
}

// saveInTime saves within saveTimeout, so that the job has time left to record the result.
func (s *Saver) saveInTime(ctx context.Context, t task.Task, a task.Attempt, job *river.Job[task.SaveOutputs]) ([]task.Output, error) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)() //nolint:contextcheck // It ends with the job, and when saves are cut.
	return s.save(ctx, t, a, job)
}

// save asks the provider for the links unless they are known, and saves the results in the bucket concurrently. If one fails, it removes all of them.
func (s *Saver) save(ctx context.Context, t task.Task, a task.Attempt, job *river.Job[task.SaveOutputs]) ([]task.Output, error) {
	u, err := s.Accounts.Of(a.Account)
	if err != nil {
		return nil, err
	}
	links, err := s.firstLinks(ctx, u, t, a, job)
	if err != nil {
		return nil, err
	}
	results := &results{Saver: s, upstream: u, count: len(links), tenant: t.Tenant, due: s.linksEnd(a), again: onceAgain(func(ctx context.Context) ([]string, error) { return s.links(ctx, u, t, a) })}
	keys, outputs := outputKeys(t.ID, a.Number, len(links)), make([]task.Output, len(links))
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(outputsAtOnce)
	for i, link := range links {
		g.Go(func() error {
			key := keys[i]
			saved, err := results.save(groupCtx, i, link, key)
			if err != nil {
				return err
			}
			outputs[i] = task.Output{
				Index: i, Key: key, ContentType: saved.ContentType, SizeBytes: saved.SizeBytes, SHA256: saved.SHA256[:],
				Duration: saved.Duration, Width: saved.Width, Height: saved.Height, VideoCodec: saved.Codec,
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		s.takeBack(ctx, keys) // Including the failed one: a Put that fails may have stored its file.
		return nil, err
	}
	return outputs, nil
}

// firstLinks returns the links that a try begins with. The first try takes those that are known. They may have expired before a later one,
// which asks the provider, and takes the known ones only if the provider does not name any: it may have forgotten the task before
// the file is gone.
func (s *Saver) firstLinks(ctx context.Context, u *upstream.Account, t task.Task, a task.Attempt, job *river.Job[task.SaveOutputs]) ([]string, error) {
	known := job.Args.Links
	if job.Attempt <= 1 && len(known) > 0 {
		return known, nil
	}
	links, err := s.links(ctx, u, t, a)
	if err != nil && !errors.Is(err, errNoResult) && len(known) > 0 {
		return known, nil
	}
	return links, err
}

// links asks the provider for the links to the results.
func (s *Saver) links(ctx context.Context, u *upstream.Account, t task.Task, a task.Attempt) ([]string, error) {
	status, err := u.Ask(ctx, provider.Query{TaskID: a.ProviderTaskID, Remote: a.Remote, Handle: a.Handle}, s.Now().Sub(a.CreateTime))
	if err != nil {
		return nil, err
	}
	switch status.Phase {
	case provider.Running:
		return nil, errNotReady
	case provider.Failed:
		c := lifecycle.Check{Attempt: a.ID, Task: t.ID, Account: a.Account, ProviderTaskID: a.ProviderTaskID}
		if err := s.Lifecycle.SettleCheck(ctx, c, status, nil); err != nil {
			return nil, err
		}
		return nil, errNoResult
	case provider.Succeeded:
		if err := s.settleCost(ctx, t, a, status); err != nil {
			return nil, err
		}
	}
	if len(status.ResultURLs) == 0 {
		return nil, errNoLinks
	}
	return status.ResultURLs, nil
}

// settleCost records what the attempt cost. A callback whose signature covers no more than the id does not prove that.
func (s *Saver) settleCost(ctx context.Context, t task.Task, a task.Attempt, status provider.Status) error {
	if a.Cost == task.Cost(status.Cost) || status.Cost == (provider.Cost{}) {
		return nil
	}
	c := lifecycle.Check{Attempt: a.ID, Task: t.ID, Account: a.Account, ProviderTaskID: a.ProviderTaskID}
	return s.Lifecycle.SettleCheck(ctx, c, status, nil)
}

// outputKeys makes the keys of an attempt's outputs in the bucket. Each try has its own keys, so that concurrent tries do not
// write or remove each other's files.
func outputKeys(id task.ID, attempt, n int) []string {
	try := make([]byte, 8)
	_, _ = rand.Read(try) // It never fails: a system without randomness ends the process.
	keys := make([]string, n)
	for i := range keys {
		keys[i] = media.OutputPrefix + path.Join(string(id), fmt.Sprintf("%d-%d-%x", attempt, i, try))
	}
	return keys
}
