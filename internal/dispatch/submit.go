package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/queue"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tracing"
)

// submitTimeout bounds a submit job: the wait for its source, the submission, and the record of the answer.
const submitTimeout = 5*time.Second + lifecycle.SendTimeout + lifecycle.AnswerTimeout + lifecycle.SettleTimeout + 10*time.Second

// Submitter sends attempts to their provider.
type Submitter struct {
	river.WorkerDefaults[task.SubmitAttempt]
	Config

	waits *source.SubmitWaits
}

const (
	// submitsAtOnce is how many submissions a replica can send at a time while all slots for sources, and all places in their
	// queue, are taken. Admission bounds the number of submissions, and shares them among tenants.
	submitsAtOnce = 32
	// submitWorkers are the workers of the queue. There are more workers than slow sources can occupy, so a worker is always
	// free.
	submitWorkers = source.SubmitPlaces + submitsAtOnce
	// checkPause is how long a submission waits that this replica cannot begin, because it has not compared the database with
	// the bucket yet.
	checkPause = 2 * time.Second
)

// Kind returns how the job queue runs the submitter.
func (s *Submitter) Kind() queue.Kind {
	return queue.Kind{
		Name: task.SubmitAttempt{}.Kind(), Workers: submitWorkers, Timeout: submitTimeout,
		Register: func(w *river.Workers) { river.AddWorker(w, s) },
	}
}

// Timeout bounds the job.
func (s *Submitter) Timeout(*river.Job[task.SubmitAttempt]) time.Duration { return submitTimeout }

// NextRetry returns a time in the near future: a submit job fails only when the database fails.
func (s *Submitter) NextRetry(job *river.Job[task.SubmitAttempt]) time.Time {
	return s.Now().Add(queue.RetryAfter(job.Attempt))
}

// Work sends an attempt whose source is ready, once. An attempt whose source is not ready is given back.
func (s *Submitter) Work(ctx context.Context, job *river.Job[task.SubmitAttempt]) error {
	id := job.Args.AttemptID
	sourceURI, offering, err := s.ready(ctx, job)
	switch {
	case err == nil && sourceURI == "":
		err = s.Lifecycle.Send(ctx, id, "", nil)
	case err == nil:
		err = s.Lifecycle.Send(ctx, id, offering.Remote, func(ctx context.Context, t task.Task) (provider.Receipt, error) {
			receipt, err := s.send(ctx, t, *t.AttemptByID(id), sourceURI, offering)
			if err != nil {
				s.logRefusal(ctx, t, id, err)
			}
			return receipt, err
		})
	case errors.Is(err, source.ErrNotReady):
		err = s.Lifecycle.Defer(ctx, id)
		s.waits.Wake()
		if errors.Is(err, task.ErrAlreadySent) {
			err = s.Lifecycle.Send(ctx, id, "", nil) // It settles what another replica has begun to send.
		}
	case source.Refusal(err):
		err = s.Lifecycle.Refuse(ctx, id, err)
	}
	switch {
	case errors.Is(err, lifecycle.ErrAttemptNotFound):
		return river.JobCancel(err) // Retention removed the task.
	case errors.Is(err, lifecycle.ErrUnprepared):
		return river.JobSnooze(0) // A retry has just adopted the attempt.
	case errors.Is(err, lifecycle.ErrNotChecked):
		return river.JobSnooze(checkPause)
	default:
		return err
	}
}

// ready returns the URI of the source of an attempt, or an empty string if the attempt will not be sent. It runs before the
// attempt counts as sent, so a failure in it costs nothing.
func (s *Submitter) ready(ctx context.Context, job *river.Job[task.SubmitAttempt]) (uri string, o *catalog.Offering, err error) {
	id := job.Args.AttemptID
	waiting, end, err := s.waits.Begin(ctx, fair.Claim{Tenant: job.Args.Tenant, Host: job.Args.Host, Due: job.CreatedAt})
	if err != nil {
		s.Log.DebugContext(ctx, "all slots for sources are taken; the attempt is given back", "attempt_id", id, "cause", err)
		return "", nil, err
	}
	defer end()
	t, err := s.Tasks.TaskOfAttempt(ctx, id)
	if err != nil {
		return "", nil, err
	}
	ctx = tracing.Resume(ctx, t.TraceParent)
	a := t.AttemptByID(id)
	if a.Sent || a.State != task.AttemptSubmitting || t.State != task.Submitting {
		return "", nil, nil
	}
	u, err := s.Accounts.Of(a.Account)
	if err != nil {
		return "", nil, &provider.Error{Class: provider.NotSent, Op: "submit", Err: err}
	}
	o, lack := lifecycle.Offering(s.Catalog(), u.Name(), t.Spec, s.Now())
	if lack != nil { // The catalog has changed since the task was submitted.
		err = &source.UnfitError{Reason: task.ProviderRejected, Message: "the provider no longer takes the task: " + lack.Error()}
	} else {
		uri, err = s.waits.URI(waiting, source.PreparationOf(t, a.Account), u)
	}
	switch {
	case source.Refusal(err):
		s.Log.WarnContext(ctx, "attempt is not sent", "task_id", t.ID, "attempt_id", id, "account", a.Account, "error", err)
	case errors.Is(err, source.ErrNotReady):
		s.Log.InfoContext(ctx, "the source of an attempt is prepared first", "task_id", t.ID, "attempt_id", id, "account", a.Account, "cause", err)
	}
	return uri, o, err
}

// send makes the one call to the provider.
func (s *Submitter) send(ctx context.Context, t task.Task, a task.Attempt, sourceURI string, o *catalog.Offering) (provider.Receipt, error) {
	u, err := s.Accounts.Of(a.Account)
	if err != nil {
		return provider.Receipt{}, &provider.Error{Class: provider.NotSent, Op: "submit", Err: err}
	}
	parameters, err := t.Spec.ParameterValues()
	if err != nil {
		return provider.Receipt{}, &provider.Error{Class: provider.Rejected, Op: "submit", Err: err}
	}
	submission := provider.Submission{Remote: o.Remote, Inputs: o.Inputs(catalog.Request{
		Prompt: t.Spec.Prompt, SourceURI: sourceURI, FirstFrameURI: t.Spec.FirstFrameURI, Strength: t.Spec.Strength, Watermark: t.Spec.Watermark,
		Parameters: parameters,
	})}
	if u.Capabilities().Callbacks != provider.NoCallbacks {
		if submission.CallbackURL, err = s.CallbackURL(a.Account, a.ID); err != nil {
			return provider.Receipt{}, &provider.Error{Class: provider.NotSent, Op: "submit", Err: err}
		}
	}
	return u.Send(ctx, submission)
}

// logRefusal logs a submission that was not accepted. If the account is blocked, an operator must act.
func (s *Submitter) logRefusal(ctx context.Context, t task.Task, id task.AttemptID, err error) {
	level, message := slog.LevelWarn, "submission was not accepted"
	switch provider.ClassOf(err) {
	case provider.AccountBlocked:
		level, message = slog.LevelError, "the provider account is blocked for this task; it pauses and is probed, unless it accepts others"
	case provider.ModelWithdrawn:
		level, message = slog.LevelError, "the provider does not have the model; its offering is closed and probed, and tasks move on to the next provider of their route"
	default:
	}
	s.Log.Log(ctx, level, message, "task_id", t.ID, "attempt_id", id, "account", t.AttemptByID(id).Account, "error", err, "cause", plain.Hidden(err)) //nolint:sloglint // One of three constants.
}
