// Package output brings the results of attempts into the bucket.
//
// A save asks the provider for the links, downloads each result and records the outputs. It is a job, run at least once: a replica
// that dies leaves its files to the sweep, and the job begins anew. What the provider or its hosts are at fault for ends a save after
// a number of tries; what our storage or database is at fault for does not count, and the save goes on until the links are gone.
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
	"github.com/refract-video/refract/internal/upstream"
)

const (
	// saveTimeout bounds one try to save all outputs of an attempt, and settleTimeout what is written down of it.
	saveTimeout   = 15 * time.Minute
	settleTimeout = time.Minute
	// takeBackTimeout bounds the removal of files that are not needed. A service that stops waits for it.
	takeBackTimeout = 10 * time.Second
	// outputsAtOnce is how many outputs of one attempt are downloaded at a time.
	outputsAtOnce = 4
	// notReadyWait is how long to wait where the provider does not show what it claims to have.
	notReadyWait = 5 * time.Second
	// stoppedPause is how long a save waits for another replica that was cut by a stop.
	stoppedPause = time.Second
)

// Patience is how long saves are tried before their task fails. Zero fields mean the defaults.
type Patience struct {
	// Tries is how often a save is tried: 12 times, which with the waits between them takes ten minutes at least.
	Tries int
	// Limit is how long a save is tried in all, if it was tried twice: an hour.
	Limit time.Duration
	// NotReady is how long a result may be claimed by a callback that the provider does not show yet: 30 minutes.
	NotReady time.Duration
	// NoLinks is how long the provider may report success without a link to the result: 10 minutes.
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

// What a save finds at the provider. Package media has the errors of downloads.
var (
	errNotReady = errors.New("the provider shows no result yet")
	errNoLinks  = errors.New("the provider reports success, but names no result file")
	errNoResult = errors.New("the provider reports that the generation failed")
)

// Saver brings the outputs of attempts into the bucket.
type Saver struct {
	river.WorkerDefaults[task.SaveOutputs]
	Config

	gate      *fair.Gate // For attempts, by tenant and account.
	downloads *fair.Gate // For results, by tenant and host.
	saves     *saveMetrics
	running   context.Context // Ends when saves are cut; the context of a job goes on, to write that down.
	cut       context.CancelFunc
}

// Config is what a saver works with.
type Config struct {
	Lifecycle Lifecycle
	Tasks     Tasks
	Troubles  Troubles
	Accounts  upstream.Accounts
	Media     *media.Saver
	Patience  Patience
	Now       func() time.Time // The time as the database has it, which jobs and attempts carry.
	Meter     metric.Meter
	Log       *slog.Logger
}

// Lifecycle settles what saves find.
type Lifecycle interface {
	SettleSave(ctx context.Context, id task.AttemptID, outputs []task.Output, failure *task.SaveFailed) (recorded bool, err error)
	SettleCheck(ctx context.Context, c lifecycle.Check, status provider.Status, answer error) error
}

// Tasks is what a saver reads.
type Tasks interface {
	TaskOfAttempt(ctx context.Context, id task.AttemptID) (task.Task, error)
}

// Troubles keeps why outputs are not saved yet.
type Troubles interface {
	// NoteSaveTrouble notes what a try met, and returns what is known since the job began that saves the outputs.
	NoteSaveTrouble(ctx context.Context, id task.AttemptID, began time.Time, n task.SaveTry) (task.SaveTrouble, error)
}

// New returns a saver.
func New(cfg Config) (*Saver, error) {
	saves, err := newSaveMetrics(cfg.Meter)
	if err != nil {
		return nil, err
	}
	cfg.Patience = cfg.Patience.withDefaults()
	s := &Saver{Config: cfg, gate: fair.New(savesAtOnce, savesWaiting), downloads: fair.New(downloadsAtOnce, savesAtOnce*outputsAtOnce), saves: saves}
	s.running, s.cut = context.WithCancel(context.Background())
	return s, nil
}

// Kind is what a saver is to the job queue.
func (s *Saver) Kind() queue.Kind {
	return queue.Kind{
		Name: task.SaveOutputs{}.Kind(), Workers: saveWorkers, Timeout: s.Timeout(nil),
		Register: func(w *river.Workers) { river.AddWorker(w, s) },
	}
}

// Cut ends the saves that are under way, which another replica takes up again. It is for a stop, which would otherwise last as
// long as the slowest download.
func (s *Saver) Cut() { s.cut() }

// Timeout bounds one try.
func (s *Saver) Timeout(*river.Job[task.SaveOutputs]) time.Duration {
	return turnTimeout + saveTimeout + settleTimeout
}

// NextRetry waits longer with every try.
func (s *Saver) NextRetry(job *river.Job[task.SaveOutputs]) time.Time {
	return s.Now().Add(queue.RetryAfter(job.Attempt))
}

// Work saves the outputs. The links come from the provider's answer, never from a callback, whose body
// is not signed.
func (s *Saver) Work(ctx context.Context, job *river.Job[task.SaveOutputs]) error {
	id := job.Args.AttemptID
	t, err := s.Tasks.TaskOfAttempt(ctx, id)
	if errors.Is(err, lifecycle.ErrAttemptNotFound) {
		return river.JobCancel(err) // Retention removed the task.
	}
	if err != nil {
		return s.tryAgain(ctx, job, err)
	}
	a := t.AttemptByID(id)
	if a.State != task.AttemptSucceeded || a.Saved {
		return nil // Settled otherwise since the job was made.
	}
	leave, err := s.turn(ctx, job, t, *a)
	if err != nil {
		return err
	}
	defer leave()
	outputs, err := s.saveInTime(ctx, t, *a)
	if err == nil {
		s.saves.saved(ctx, a.Account, s.linkLeft(a.Account, job.CreatedAt))
		if err := s.settle(ctx, id, outputs); err != nil {
			return s.tryAgain(ctx, job, err)
		}
		return nil
	}
	if errors.Is(err, errNoResult) {
		return nil // A callback had claimed one; it is settled.
	}
	if ctx.Err() != nil || s.running.Err() != nil {
		return river.JobSnooze(stoppedPause) // Nothing is known of the result, so the try does not count.
	}
	return s.failed(ctx, job, *a, err)
}

// lasting reports whether another try would meet the same. What is no video is tried twice: hosts show pages in place
// of files while they are in trouble.
func lasting(err error, try int) bool {
	return errors.Is(err, errNotReady) || errors.Is(err, errNoLinks) || errors.Is(err, media.ErrTooLarge) ||
		errors.Is(err, media.ErrBlocked) || errors.Is(err, media.ErrNotVideo) && try > 1
}

// settle records the outputs, unless another save of the same attempt was faster: two jobs can be at it, when a canceled
// task's result is adopted by a retry, or when a job is taken from a replica that lives after all. Then ours are not needed.
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

// takeBack removes files that a save wrote and that are not recorded. It does so in a service that stops, too.
func (s *Saver) takeBack(ctx context.Context, keys []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTimeout)
	defer cancel()
	for _, key := range keys {
		if err := s.Media.Bucket.Delete(ctx, key); err != nil {
			s.Log.WarnContext(ctx, "a file that belongs to no task may stay in the bucket", "key", key, "error", err)
		}
	}
}

// giveUp settles that there are no outputs.
func (s *Saver) giveUp(ctx context.Context, a task.Attempt, err error, storage task.StorageTrouble) error {
	now, readErr := s.Tasks.TaskOfAttempt(ctx, a.ID)
	if readErr != nil {
		return readErr
	}
	if now.AttemptByID(a.ID).Saved {
		return nil // A replica that was thought dead has done it.
	}
	failure := &task.SaveFailed{Attempt: a.ID, Reason: task.OutputUnavailable, Message: "save the result: " + publicMessage(err)}
	if errors.Is(err, media.ErrNotVideo) || errors.Is(err, media.ErrTooLarge) {
		failure.Reason = task.OutputInvalid
	}
	if storage.Cause != "" {
		failure.Message = storage.String() + ", and the provider's result is gone: " + failure.Message
	}
	s.saves.failed(ctx, a.Account, err)
	s.Log.WarnContext(ctx, "a result is given up", "attempt_id", a.ID, "account", a.Account, "error", err, "cause", plain.Hidden(err))
	_, err = s.Lifecycle.SettleSave(ctx, a.ID, nil, failure)
	return err
}

// linkLeft is how long the links of a result that is known since a time still live at least.
func (s *Saver) linkLeft(account string, since time.Time) time.Duration {
	u, err := s.Accounts.Of(account)
	if err != nil {
		return 0
	}
	return u.Capabilities().LinkLifetime - s.Now().Sub(since)
}

// saveInTime saves within its own time, which leaves the job some to write down what became of it.
func (s *Saver) saveInTime(ctx context.Context, t task.Task, a task.Attempt) ([]task.Output, error) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)() //nolint:contextcheck // It ends with the job, and when saves are cut.
	return s.save(ctx, t, a)
}

// save asks the provider for the links and brings each into the bucket, all at once. Where one fails, it takes back the
// others.
func (s *Saver) save(ctx context.Context, t task.Task, a task.Attempt) ([]task.Output, error) {
	u, err := s.Accounts.Of(a.Account)
	if err != nil {
		return nil, err
	}
	links, err := s.links(ctx, u, t, a)
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
		s.takeBack(ctx, keys) // Also that of the failed one: a Put that fails may have stored its file.
		return nil, err
	}
	return outputs, nil
}

// links asks the provider for the links to the results.
func (s *Saver) links(ctx context.Context, u *upstream.Account, t task.Task, a task.Attempt) ([]string, error) {
	status, err := u.Ask(ctx, a.ProviderTaskID, s.Now().Sub(a.CreateTime))
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
	}
	if len(status.ResultURLs) == 0 {
		return nil, errNoLinks
	}
	return status.ResultURLs, nil
}

// outputKeys makes the keys of an attempt's outputs in the bucket. Each try has its own, so that no two that go on at a
// time write or remove each other's files.
func outputKeys(id task.ID, attempt, n int) []string {
	try := make([]byte, 8)
	_, _ = rand.Read(try) // It never fails: a system without randomness ends the process.
	keys := make([]string, n)
	for i := range keys {
		keys[i] = media.OutputPrefix + path.Join(string(id), fmt.Sprintf("%d-%d-%x", attempt, i, try))
	}
	return keys
}
