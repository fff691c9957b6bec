package notify

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Detail says how much of a task is shown in an event.
type Detail int

// The details, each with less than the one before. An event has the first that fits into MaxBody.
const (
	// Whole is everything that GetTask shows, with download links that are valid now.
	Whole Detail = iota
	// WithoutInputs leaves out what the caller knows: prompt, parameters, source, first_frame_uri and labels.
	WithoutInputs
	// WithoutLinks leaves out the signed URIs too. The download URIs remain.
	WithoutLinks
)

// errTooLarge means that an event does not fit into MaxBody even WithoutLinks.
var errTooLarge = errors.New("the event is larger than 64 KiB")

// body returns the body of an event, with the task as it was after the event.
func (s *Sender) body(ctx context.Context, c Claimed) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	for detail := Whole; detail <= WithoutLinks; detail++ {
		data, err := s.data(ctx, c, detail)
		if err != nil {
			return nil, fmt.Errorf("write task %s at revision %d: %w", c.Task.ID, c.TaskEvent.Revision, err)
		}
		if body := envelope(EventType(c.TaskState), c.EventTime, data); len(body) <= MaxBody {
			return body, nil
		}
	}
	return nil, errTooLarge
}

// data returns the task as JSON. A panic becomes an error, so that one task can't end the process.
func (s *Sender) data(ctx context.Context, c Claimed, d Detail) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return s.Task(ctx, c.Task.At(c.TaskEvent, c.NewestAttempt), d)
}

// panicError is a panic while an event was written.
type panicError struct {
	value any
	stack []byte
}

// Error has the stack too.
func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// envelope returns the body that Standard Webhooks recommends. data is JSON.
func envelope(eventType string, at time.Time, data []byte) []byte {
	return fmt.Appendf(make([]byte, 0, len(data)+128), `{"type":%q,"timestamp":%q,"data":%s}`,
		eventType, at.UTC().Format(time.RFC3339Nano), data)
}

// Renderer returns a task as the REST API shows it, as JSON.
type Renderer func(ctx context.Context, t task.Task, d Detail) ([]byte, error)
