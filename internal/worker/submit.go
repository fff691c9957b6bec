package worker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// submitTimeout bounds a submit job: the provider's 30 seconds, and time to write the answer down.
const submitTimeout = 50 * time.Second

// submitter sends attempts to their provider.
type submitter struct {
	river.WorkerDefaults[task.SubmitAttempt]
	*Workers
}

// Timeout bounds the job.
func (s *submitter) Timeout(*river.Job[task.SubmitAttempt]) time.Duration { return submitTimeout }

// NextRetry is soon: a submit job fails only when the database does.
func (s *submitter) NextRetry(job *river.Job[task.SubmitAttempt]) time.Time {
	return retryAt(job.Attempt)
}

// Work sends the attempt, once.
func (s *submitter) Work(ctx context.Context, job *river.Job[task.SubmitAttempt]) error {
	id := job.Args.AttemptID
	return s.lifecycle.Send(ctx, id, func(ctx context.Context, t task.Task) (string, error) {
		p := s.providers[t.Spec.Provider]
		callbackURL, err := s.callbackURL(p.Name(), id)
		if err != nil {
			return "", &provider.Error{Class: provider.NotSent, Op: "submit", Err: err}
		}
		defer s.observe(ctx, p.Name(), "submit")(&err)
		var providerTaskID string
		providerTaskID, err = p.Submit(ctx, provider.Submission{
			Prompt: t.Spec.Prompt, SourceURI: t.Spec.SourceURI, Watermark: t.Spec.Watermark, CallbackURL: callbackURL,
		})
		if err != nil {
			s.tell(ctx, t, id, err)
			return "", fmt.Errorf("%s: %w", p.Name(), err)
		}
		return providerTaskID, nil
	})
}

// tell logs a submission that was not accepted. Trouble of the account stops all tasks of the provider, so
// somebody has to act.
func (s *submitter) tell(ctx context.Context, t task.Task, id task.AttemptID, err error) {
	level, message := slog.LevelWarn, "submission was not accepted"
	if provider.ClassOf(err) == provider.AccountBlocked {
		level, message = slog.LevelError, "the provider account is in trouble; its tasks stay queued and it is probed"
	}
	s.log.Log(ctx, level, message, "task_id", t.ID, "attempt_id", id, "provider", t.Spec.Provider, "error", err) //nolint:sloglint // One of two constants.
}
