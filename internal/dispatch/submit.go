package dispatch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/queue"
	"github.com/refract-video/refract/internal/task"
)

// submitTimeout bounds a submit job: the wait for its source, the submission, and time to write the answer down.
const submitTimeout = 5*time.Second + lifecycle.SendTimeout + lifecycle.AnswerTimeout + lifecycle.SettleTimeout + 10*time.Second

// Submitter sends attempts to their provider.
type Submitter struct {
	river.WorkerDefaults[task.SubmitAttempt]
	Config

	preparer *Preparer
	slow     slowSources
	gate     *fair.Gate // For attempts that are about to be sent, by tenant and host of the source.
}

// Kind is what a submitter is to the job queue.
func (s *Submitter) Kind() queue.Kind {
	return queue.Kind{
		Name: task.SubmitAttempt{}.Kind(), Workers: submitWorkers, Timeout: submitTimeout,
		Register: func(w *river.Workers) { river.AddWorker(w, s) },
	}
}

// Timeout bounds the job.
func (s *Submitter) Timeout(*river.Job[task.SubmitAttempt]) time.Duration { return submitTimeout }

// NextRetry is soon: a submit job fails only when the database does.
func (s *Submitter) NextRetry(job *river.Job[task.SubmitAttempt]) time.Time {
	return s.Now().Add(queue.RetryAfter(job.Attempt))
}

// Work sends an attempt whose source is ready, once. One whose source is not is given back.
func (s *Submitter) Work(ctx context.Context, job *river.Job[task.SubmitAttempt]) error {
	id := job.Args.AttemptID
	sourceURI, err := s.ready(ctx, job)
	switch {
	case err == nil && sourceURI == "":
		err = s.Lifecycle.Send(ctx, id, nil)
	case err == nil:
		err = s.Lifecycle.Send(ctx, id, func(ctx context.Context, t task.Task) (string, error) {
			providerTaskID, err := s.send(ctx, t, *t.AttemptByID(id), sourceURI)
			if err != nil {
				s.tell(ctx, t, id, err)
			}
			return providerTaskID, err
		})
	case errors.Is(err, errSourceNotReady):
		err = s.Lifecycle.Defer(ctx, id)
		s.preparer.Nudge()
		if errors.Is(err, task.ErrAlreadySent) {
			err = s.Lifecycle.Send(ctx, id, nil) // It settles what another replica has begun to send.
		}
	case refusal(err):
		err = s.Lifecycle.Refuse(ctx, id, err)
	}
	switch {
	case errors.Is(err, lifecycle.ErrAttemptNotFound):
		return river.JobCancel(err) // Retention removed the task.
	case errors.Is(err, lifecycle.ErrUnprepared):
		return river.JobSnooze(0) // A retry adopted the attempt this moment.
	default:
		return err
	}
}

// send makes the one call to the provider.
func (s *Submitter) send(ctx context.Context, t task.Task, a task.Attempt, sourceURI string) (string, error) {
	u, err := s.Accounts.Of(a.Account)
	if err != nil {
		return "", &provider.Error{Class: provider.NotSent, Op: "submit", Err: err}
	}
	caps := u.Capabilities()
	submission := provider.Submission{
		Prompt: t.Spec.Prompt, SourceURI: sourceURI, Watermark: t.Spec.Watermark,
		Strength: cmp.Or(t.Spec.Strength, caps.Strength), Model: cmp.Or(t.Spec.Model, caps.Model), FirstFrameURI: t.Spec.FirstFrameURI,
	}
	if caps.Callbacks != provider.NoCallbacks {
		if submission.CallbackURL, err = s.CallbackURL(a.Account, a.ID); err != nil {
			return "", &provider.Error{Class: provider.NotSent, Op: "submit", Err: err}
		}
	}
	return u.Send(ctx, submission)
}

// tell logs a submission that was not accepted. An account that is blocked needs somebody to act.
func (s *Submitter) tell(ctx context.Context, t task.Task, id task.AttemptID, err error) {
	level, message := slog.LevelWarn, "submission was not accepted"
	if provider.ClassOf(err) == provider.AccountBlocked {
		level, message = slog.LevelError, "the provider account is blocked for this task; it pauses and is probed, unless it accepts others"
	}
	s.Log.Log(ctx, level, message, "task_id", t.ID, "attempt_id", id, "account", t.AttemptByID(id).Account, "error", err, "cause", plain.Hidden(err)) //nolint:sloglint // One of two constants.
}
