package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// The defaults of a submission.
const (
	DefaultDeadline    = 6 * time.Hour
	DefaultMaxAttempts = 1
)

// Submit makes the task of a request id, or returns the one that it made before. It returns a FieldError
// or a ConflictError for what the caller must mend.
func (l *Lifecycle) Submit(ctx context.Context, tenant, requestID string, spec task.Spec) (task.Task, error) {
	spec = complete(spec)
	route, invalid := l.check(ctx, tenant, spec)
	if invalid != nil {
		// What was accepted once is answered again, though the configuration may have changed since.
		t, err := l.store.TaskByRequest(ctx, tenant, requestID)
		if err != nil || len(t.Spec.Differences(spec)) > 0 {
			return task.Task{}, invalid
		}
		return t, nil
	}
	t, created, err := l.store.CreateTask(ctx, task.New(task.ID(l.ids.next()), tenant, requestID, spec, route))
	if err != nil {
		return task.Task{}, fmt.Errorf("submit request %q: %w", requestID, err)
	}
	if created {
		l.changed(t.ID, t.State)
		return t, nil
	}
	if fields := t.Spec.Differences(spec); len(fields) > 0 {
		return task.Task{}, &ConflictError{TaskID: t.ID, Fields: fields}
	}
	return t, nil
}

// complete fills in the defaults.
func complete(spec task.Spec) task.Spec {
	if spec.Deadline == 0 {
		spec.Deadline = DefaultDeadline
	}
	spec.Deadline = spec.Deadline.Round(time.Microsecond) // As exact as the store keeps it, so that a repeated call compares equal.
	if spec.MaxAttempts == 0 {
		spec.MaxAttempts = DefaultMaxAttempts
	}
	return spec
}

// check refuses what can be told wrong without a look at the source, and returns the route.
func (l *Lifecycle) check(ctx context.Context, tenant string, spec task.Spec) ([]string, error) {
	if spec.SourceID != "" {
		if err := l.store.UseSource(ctx, tenant, spec.SourceID); errors.Is(err, source.ErrNotFound) {
			return nil, &source.NotFoundError{ID: spec.SourceID}
		} else if err != nil {
			return nil, fmt.Errorf("look for source %s: %w", spec.SourceID, err)
		}
	} else if err := l.checkSource(spec.SourceURI); err != nil {
		return nil, &FieldError{Field: "source.uri", Message: err.Error()}
	}
	if spec.FirstFrameURI != "" {
		if err := l.checkSource(spec.FirstFrameURI); err != nil {
			return nil, &FieldError{Field: "first_frame_uri", Message: err.Error()}
		}
	}
	return l.route(spec)
}
