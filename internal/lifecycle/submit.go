package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tracing"
)

// The defaults of a submission.
const (
	DefaultDeadline    = 6 * time.Hour
	DefaultMaxAttempts = 1
)

// Submission is what a tenant submits.
type Submission struct {
	RequestID string
	Spec      task.Spec
}

// Submitted is the result of a submission.
type Submitted struct {
	Task task.Task
	Err  error // As Submit returns it.
}

// Submit makes the task of a request id, or returns the one that it made before. It returns a FieldError or a ConflictError for what
// the caller must correct.
func (l *Lifecycle) Submit(ctx context.Context, tenant, requestID string, spec task.Spec) (task.Task, error) {
	r := l.SubmitAll(ctx, tenant, []Submission{{requestID, spec}})[0]
	return r.Task, r.Err
}

// SubmitAll submits many tasks, each as Submit does, and returns the result of each.
func (l *Lifecycle) SubmitAll(ctx context.Context, tenant string, all []Submission) []Submitted {
	results := make([]Submitted, len(all))
	specs := make([]task.Spec, len(all))
	var begun []task.Decision
	var places []int                  // The index in all of each task in begun.
	used := map[task.SourceID]error{} // The first of many tasks of one clip records its use.
	parent := tracing.Parent(ctx)
	for i, s := range all {
		specs[i] = complete(s.Spec)
		route, invalid := l.check(ctx, tenant, specs[i], used)
		if invalid != nil {
			results[i] = l.submittedBefore(ctx, tenant, s.RequestID, specs[i], invalid)
			continue
		}
		d := task.New(task.ID(l.ids.next()), tenant, s.RequestID, specs[i], route)
		d.Task.TraceParent = parent
		begun = append(begun, d)
		places = append(places, i)
	}
	if len(begun) == 0 {
		return results
	}
	for j, c := range l.store.CreateTasks(ctx, begun) {
		i := places[j]
		results[i] = l.submitted(c, specs[i])
		if err := results[i].Err; err != nil {
			results[i].Err = fmt.Errorf("submit request %q: %w", all[i].RequestID, err)
		}
	}
	return results
}

// submittedBefore returns a task that was accepted before, also if the configuration has changed since.
func (l *Lifecycle) submittedBefore(ctx context.Context, tenant, requestID string, spec task.Spec, invalid error) Submitted {
	t, err := l.store.TaskByRequest(ctx, tenant, requestID)
	if err != nil || len(t.Spec.Differences(spec)) > 0 {
		return Submitted{Err: invalid}
	}
	return Submitted{Task: t}
}

// submitted announces a new task, and compares a known one with what was submitted.
func (l *Lifecycle) submitted(c NewTask, spec task.Spec) Submitted {
	switch {
	case c.Err != nil:
		return Submitted{Err: c.Err}
	case c.New:
		l.changed(c.Task.ID, c.Task.State)
	default:
		if fields := c.Task.Spec.Differences(spec); len(fields) > 0 {
			return Submitted{Err: &ConflictError{TaskID: c.Task.ID, Fields: fields}}
		}
	}
	return Submitted{Task: c.Task}
}

// complete fills in the defaults.
func complete(spec task.Spec) task.Spec {
	if spec.Deadline == 0 {
		spec.Deadline = DefaultDeadline
	}
	spec.Deadline = spec.Deadline.Round(time.Microsecond) // The precision of the store, so that a repeated call compares equal.
	if spec.MaxAttempts == 0 {
		spec.MaxAttempts = DefaultMaxAttempts
	}
	return spec
}

// check returns the route, or an error for what is wrong with a request. It does not fetch the source.
func (l *Lifecycle) check(ctx context.Context, tenant string, spec task.Spec, used map[task.SourceID]error) ([]string, error) {
	if spec.SourceID != "" {
		if _, known := used[spec.SourceID]; !known {
			used[spec.SourceID] = l.useSource(ctx, tenant, spec.SourceID)
		}
		if err := used[spec.SourceID]; err != nil {
			return nil, err
		}
	} else if err := l.checkSource(spec.SourceURI); err != nil {
		return nil, &FieldError{Field: "source.uri", Message: err.Error()}
	}
	if spec.FirstFrameURI != "" {
		if err := l.checkSource(spec.FirstFrameURI); err != nil {
			return nil, &FieldError{Field: "first_frame_uri", Message: err.Error()}
		}
	}
	if spec.WebhookURI != "" {
		if err := l.checkWebhook(spec.WebhookURI); err != nil {
			return nil, &FieldError{Field: "webhook_uri", Message: err.Error()}
		}
	}
	if n := len(spec.Parameters); n > catalog.MaxParameters {
		return nil, &FieldError{Field: "parameters", Message: fmt.Sprintf("has %d bytes as JSON, and may have %d", n, catalog.MaxParameters)}
	}
	return l.route(ctx, spec)
}

// useSource finds an uploaded source and records that it is in use.
func (l *Lifecycle) useSource(ctx context.Context, tenant string, id task.SourceID) error {
	switch err := l.sources.UseSource(ctx, tenant, id); {
	case errors.Is(err, source.ErrNotFound):
		return &source.NotFoundError{ID: id}
	case err != nil:
		return fmt.Errorf("look for source %s: %w", id, err)
	default:
		return nil
	}
}
