package output

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/queue"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
)

// maxOwnWait is how long a save waits at most that failed because of us: it is to follow soon when the storage works again.
const maxOwnWait = 30 * time.Second

// failed decides what follows a try that failed: another one, or the end.
//
// A failure of ours, which is the storage's or the database's, does not count: the save is tried until the provider's links
// are really gone. Only a try can show that, since it asks for the links and begins to download before it stores anything.
// What the provider is at fault for counts from when the storage worked again.
func (s *Saver) failed(ctx context.Context, job *river.Job[task.SaveOutputs], a task.Attempt, err error) error {
	failure := task.SaveTry{Cause: saveCause(err), Message: publicMessage(err), RetryAfter: queue.RetryAfter(job.Attempt)}
	switch failure.Cause {
	case "":
		return s.tryAgain(ctx, job, err)
	case task.WaitStorage:
		failure.Storage, failure.RetryAfter = media.StorageCause(err), ownWait(job)
	case task.WaitLinks:
		failure.RetryAfter = min(notReadyWait, s.Patience.NoLinks)
	default:
	}
	trouble, noteErr := s.Troubles.NoteSaveTrouble(ctx, a.ID, job.CreatedAt, failure)
	age := trouble.Until.Add(-failure.RetryAfter).Sub(trouble.Since)
	switch {
	case noteErr != nil:
		return s.tryAgain(ctx, job, noteErr)
	case failure.Cause == task.WaitStorage:
		return s.tryAgain(ctx, job, err)
	case errors.Is(err, errNotReady) && age < s.Patience.NotReady, errors.Is(err, errNoLinks) && age < s.Patience.NoLinks:
		return river.JobSnooze(failure.RetryAfter)
	case permanent(err, job.Attempt), job.Attempt >= s.Patience.Tries, job.Attempt > 1 && age >= s.Patience.Limit:
		return s.giveUp(ctx, a, err, trouble.Storage)
	default:
		return fmt.Errorf("save attempt %s, try %d of %d: %w", a.ID, job.Attempt, s.Patience.Tries, err)
	}
}

// tryAgain has a save tried again that failed because of us. The try does not count. A stop is no failure.
func (s *Saver) tryAgain(ctx context.Context, job *river.Job[task.SaveOutputs], err error) error {
	if ctx.Err() != nil || s.running.Err() != nil {
		return river.JobSnooze(stoppedPause)
	}
	wait := ownWait(job)
	s.Log.WarnContext(ctx, "a result could not be saved because of us; it is tried again until the provider's links are gone",
		"attempt_id", job.Args.AttemptID, "wait", wait, "error", err, "cause", plain.Hidden(err))
	return river.JobSnooze(wait)
}

// ownWait is how long a save waits that failed because of us: 1 s, 2 s, 4 s and so on.
func ownWait(job *river.Job[task.SaveOutputs]) time.Duration {
	var counted struct {
		Snoozes int `json:"snoozes"` // The job queue counts them here.
	}
	_ = json.Unmarshal(job.Metadata, &counted) // Without it the wait is the shortest.
	return min(time.Second<<min(counted.Snoozes, 10), maxOwnWait)
}

// saveCause is what a save waits for after an error; empty for a failure of the database.
//
// NOTE: it goes by the component that an error comes from. What is not known to be the provider's or its hosts' does not count
// against them.
func saveCause(err error) task.WaitCause {
	_, ofHost := errors.AsType[*media.SaveError](err)
	_, ofProvider := errors.AsType[*provider.Error](err)
	switch {
	case errors.Is(err, media.ErrStorage):
		return task.WaitStorage
	case errors.Is(err, errNoLinks), errors.Is(err, errNotReady):
		return task.WaitLinks
	case errors.Is(err, upstream.ErrNotReserved):
		return ""
	case ofHost:
		return task.WaitDownload
	case ofProvider, errors.Is(err, upstream.ErrNoAccount):
		return task.WaitAnswer
	default:
		return ""
	}
}

// outcomeOf returns what a save waits for after an error, as traces show it; an empty string without one.
func outcomeOf(err error) string {
	if err == nil {
		return ""
	}
	return cmp.Or(string(saveCause(err)), "internal")
}
