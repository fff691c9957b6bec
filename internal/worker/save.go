package worker

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/riverqueue/river"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

const (
	// saveTimeout bounds one try to save all outputs of an attempt, and settleTimeout what is written down of it.
	saveTimeout   = 15 * time.Minute
	settleTimeout = time.Minute
	// saveTries is how often a save is tried before the task fails: with the waits of retryAt about ten minutes.
	saveTries = 12
	// notReadyWait is how long to wait where a callback claims a result that the provider does not show yet, and
	// notReadyLimit how long in all.
	notReadyWait  = 5 * time.Second
	notReadyLimit = 30 * time.Minute
)

// What saving finds at the provider, beside the errors of package media.
var (
	errNotReady = errors.New("the provider shows no result yet")
	errNoLinks  = errors.New("the provider reports success without a result link")
	errNoResult = errors.New("the provider reports that the generation failed")
)

// saver brings the outputs of attempts into the bucket.
type saver struct {
	river.WorkerDefaults[task.SaveOutputs]
	*Workers
}

// Timeout bounds one try.
func (s *saver) Timeout(*river.Job[task.SaveOutputs]) time.Duration {
	return saveTimeout + settleTimeout
}

// NextRetry waits longer with every try.
func (s *saver) NextRetry(job *river.Job[task.SaveOutputs]) time.Time { return s.retryAt(job.Attempt) }

// Work saves the outputs. The links come from the provider's answer, never from a callback, whose body
// nobody signs.
func (s *saver) Work(ctx context.Context, job *river.Job[task.SaveOutputs]) error {
	id := job.Args.AttemptID
	t, err := s.tasks.TaskOfAttempt(ctx, id)
	if errors.Is(err, lifecycle.ErrAttemptNotFound) {
		return river.JobCancel(err) // Retention removed the task.
	}
	if err != nil {
		return err
	}
	a := t.AttemptByID(id)
	if a.State != task.AttemptSucceeded || a.Saved {
		return nil // Settled otherwise since the job was made.
	}
	outputs, err := s.saveInTime(ctx, t, *a)
	if err == nil {
		return s.lifecycle.SettleSave(ctx, id, outputs, nil)
	}
	if errors.Is(err, errNoResult) {
		return nil // A callback had claimed one; it is settled.
	}
	if ctx.Err() != nil || s.saves.Err() != nil {
		return fmt.Errorf("save attempt %s: the service stops: %w", id, err) // Nothing is known of the result.
	}
	failure := &task.SaveFailed{Attempt: id, Reason: task.OutputUnavailable, Message: "save the result: " + err.Error()}
	switch {
	case errors.Is(err, errNotReady) && s.now().Sub(job.CreatedAt) < notReadyLimit:
		return river.JobSnooze(notReadyWait)
	case errors.Is(err, media.ErrNotVideo), errors.Is(err, media.ErrTooLarge):
		failure.Reason = task.OutputInvalid
	case errors.Is(err, errNotReady), job.Attempt >= saveTries:
	default:
		return fmt.Errorf("save attempt %s, try %d of %d: %w", id, job.Attempt, saveTries, err)
	}
	return s.lifecycle.SettleSave(ctx, id, nil, failure)
}

// saveInTime saves within its own time, which leaves the job some to write down what became of it.
func (s *saver) saveInTime(ctx context.Context, t task.Task, a task.Attempt) ([]task.Output, error) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	defer context.AfterFunc(s.saves, cancel)() //nolint:contextcheck // The end of saves cuts it, beside the end of the job.
	return s.save(ctx, t, a)
}

// save asks the provider for the links and brings each into the bucket.
func (s *saver) save(ctx context.Context, t task.Task, a task.Attempt) ([]task.Output, error) {
	u, err := s.upstream(a.Account)
	if err != nil {
		return nil, err
	}
	status, err := u.ask(ctx, a.ProviderTaskID, s.now().Sub(a.CreateTime))
	if err != nil {
		return nil, err
	}
	switch status.Phase {
	case provider.Running:
		return nil, errNotReady
	case provider.Failed:
		c := lifecycle.Check{Attempt: a.ID, Task: t.ID, Account: a.Account, ProviderTaskID: a.ProviderTaskID}
		if err := s.lifecycle.SettleCheck(ctx, c, status, nil); err != nil {
			return nil, err
		}
		return nil, errNoResult
	case provider.Succeeded:
	}
	if len(status.ResultURLs) == 0 {
		return nil, errNoLinks
	}
	outputs := make([]task.Output, 0, len(status.ResultURLs))
	for i, link := range status.ResultURLs {
		key := outputKey(t.ID, a.Number, i)
		saved, err := s.fetch(ctx, u, link, key)
		if err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
		outputs = append(outputs, task.Output{
			Index: i, Key: key, ContentType: saved.ContentType, SizeBytes: saved.SizeBytes, SHA256: saved.SHA256[:],
		})
	}
	return outputs, nil
}

// fetch saves one link, and asks the provider for a fresh one when it is dead.
func (s *saver) fetch(ctx context.Context, u *upstream, link, key string) (media.Saved, error) {
	saved, err := s.media.Save(ctx, link, key)
	if !errors.Is(err, media.ErrLinkDead) || !u.Capabilities().RefreshLinks {
		return saved, err // The next try asks the provider for its links again.
	}
	fresh, refreshErr := u.refreshLink(ctx, link)
	if refreshErr != nil {
		return saved, fmt.Errorf("%w; no fresh link: %w", err, refreshErr)
	}
	return s.media.Save(ctx, fresh, key)
}

// outputKey is where an output lives in the bucket.
func outputKey(id task.ID, attempt, index int) string {
	return path.Join("outputs", string(id), strconv.Itoa(attempt)+"-"+strconv.Itoa(index))
}
