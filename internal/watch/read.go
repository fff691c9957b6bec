package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// How a watcher meets a database that fails.
const (
	readTimeout = 5 * time.Second       // The longest that one read may take.
	firstDelay  = 50 * time.Millisecond // Before the first repetition; each further delay doubles.
	lastDelay   = 2 * time.Second       // The longest delay.
	patience    = 30 * time.Second      // How long reads may fail before the watch ends.
)

// limit is how many events one read asks for: a page, and the one that overlaps with what was sent.
func (w *watcher) limit() int { return w.hub.cfg.Page + 1 }

// read returns at least one event: the newest one that was sent, if the table still has it, and those that
// follow it. A read that fails is repeated, with bookmarks meanwhile.
func (w *watcher) read(ctx context.Context) ([]task.Event, error) {
	began := time.Now()
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		page, err := w.readOnce(ctx)
		switch {
		case err == nil:
			return page, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case final(err), time.Since(began) >= patience:
			return nil, fmt.Errorf("watch task %s after revision %d: %w", w.id, w.sent, err)
		}
		spread := rand.N(delay) //nolint:gosec // Keeps watchers from knocking in step; nobody gains by guessing it.
		if err := wait(ctx, w, time.After(delay/2+spread/2)); err != nil {
			return nil, err
		}
	}
}

// readOnce reads one page. It begins with the event that was sent last: its state tells whether there is
// anything to wait for, and its absence that the table is not the one that was read before.
func (w *watcher) readOnce(ctx context.Context) ([]task.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	page, err := w.hub.events.TaskEvents(ctx, w.id, max(w.sent-1, 0), w.limit())
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	if len(page) == 0 {
		return nil, w.explainNothing(ctx)
	}
	return page, check(page, w.sent)
}

// explainNothing returns the error that explains why the table has neither the newest event that was sent
// nor any after it.
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
		return fmt.Errorf("read events: revision %d was committed meanwhile", revision) // Not final: the next read has it.
	}
}

// check returns what is wrong with a page that is to follow the revision sent, or to begin with it.
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
			return fmt.Errorf("revision %d stands where %d belongs: %w", page[i].Revision, next, ErrGap)
		}
		next++
	}
	return nil
}
