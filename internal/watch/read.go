package watch

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/task"
)

// limit is how many events one read requests: a page, and the event that was sent last.
func (w *watcher) limit() int { return w.hub.cfg.Page + 1 }

// read returns at least one event: the newest one that was sent, if the table still has it, and those that follow it.
// The state of the event that was sent last shows whether more events can come. If that event is missing, the table is
// not the one that was read before.
func (w *watcher) read(ctx context.Context) (page []task.Event, err error) {
	err = w.readTable(ctx, func(ctx context.Context) (err error) {
		if page, err = w.hub.table.TaskEvents(ctx, w.id, max(w.sent-1, 0), w.limit()); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if len(page) == 0 {
			return w.explainNothing(ctx)
		}
		return check(page, w.sent)
	})
	return page, err
}

// outputs returns the outputs of the task if the page ends with a new event in state SUCCEEDED. It is a separate read
// with its own timeout.
func (w *watcher) outputs(ctx context.Context, page []task.Event) (outputs []task.Output, err error) {
	last := &page[len(page)-1]
	if last.State != task.Succeeded || last.Revision <= w.sent { // No event can follow SUCCEEDED.
		return nil, nil
	}
	err = w.readTable(ctx, func(ctx context.Context) (err error) {
		if outputs, err = w.hub.table.TaskOutputs(ctx, w.id); err != nil {
			return fmt.Errorf("read outputs: %w", err)
		}
		if len(outputs) == 0 {
			return w.explainNothing(ctx) // Retention has removed the task.
		}
		return nil
	})
	return outputs, err
}

// readTable calls a function that reads the table, and names the watch in its error.
func (w *watcher) readTable(ctx context.Context, once func(context.Context) error) error {
	err := w.pulse.read(ctx, once)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("watch task %s after revision %d: %w", w.id, w.sent, err)
	}
	return err
}

// explainNothing returns the reason why the table lacks what belongs to the task: the newest event that was sent and
// all later ones, or the outputs.
func (w *watcher) explainNothing(ctx context.Context) error {
	newest, err := w.hub.revisions(ctx, []task.ID{w.id})
	if err != nil {
		return err
	}
	revision, known := newest[w.id]
	switch {
	case !known:
		return ErrUnknownTask
	case revision < w.sent:
		return fmt.Errorf("the newest revision is %d: %w", revision, ErrFutureRevision)
	default:
		return fmt.Errorf("revision %d was committed meanwhile", revision) // Not final: the next read has it.
	}
}

// check returns an error unless the page begins with the revision sent, or the one after it, and has no gap.
func check(page []task.Event, sent int64) error {
	next := page[0].Revision
	switch {
	case next > sent+1:
		return &ExpiredError{Oldest: next}
	case next < sent:
		return fmt.Errorf("revision %d came again after %d: %w", next, sent, ErrGap)
	}
	for i := range page {
		if page[i].Revision != next {
			return fmt.Errorf("got revision %d, want %d: %w", page[i].Revision, next, ErrGap)
		}
		next++
	}
	return nil
}
