package watch

import (
	"context"
	"sync/atomic"

	"github.com/refract-video/refract/internal/task"
)

// Update is one message of a watch: an event or a bookmark.
type Update struct {
	Event    *task.Event   // The next event, or nil. It is the receiver's to keep.
	Outputs  []task.Output // With an event whose state is SUCCEEDED.
	Bookmark int64         // Without an event: the newest revision that was sent, or after which the watch began.
}

// Watch sends the events of the task after a revision, each once and in order, and a bookmark whenever
// nothing was sent for Config.Bookmark and the log confirms that there is nothing. After 0 asks for the whole history; less than 0 means 0. It runs
// in the goroutine of its caller. It sends one message at a time, and nothing after it has returned; bookmarks come
// from a goroutine of Run. An update is whole: send has no need to read, and is to send alone, since the stream carries
// no bookmark meanwhile.
//
// It returns nil when the task is terminal and all its events were sent, at once if they had been before.
// A terminal event that a retry followed is history and ends nothing. Otherwise it returns
//
//   - an *ExpiredError when retention removed the events that follow what was sent,
//   - ErrFutureRevision when the task has not reached the revision after which events are to be sent,
//   - ErrUnknownTask when there is no such task, also when it is removed while it is watched,
//   - ErrDraining after Drain, the error of ctx after its end, and an error of send as it is, at once,
//   - ErrNotReading when the log could not be read for 30 seconds; until it can, a watch ends as it begins,
//   - the error of the database when reads of this watch failed for 30 seconds.
func (h *Hub) Watch(ctx context.Context, id task.ID, after int64, send func(Update) error) error {
	return h.WatchFrom(ctx, id, after, nil, send)
}

// WatchFrom is Watch with a function that is called once, where the watch begins to wait without having sent anything: the
// watch is not refused then, and not over. Nil does nothing.
func (h *Hub) WatchFrom(ctx context.Context, id task.ID, after int64, waits func() error, send func(Update) error) error {
	w := &watcher{
		id:    id,
		woken: make(chan struct{}, 1),
		send:  send,
		sent:  max(after, 0),
	}
	w.start(h, w)
	defer w.stop()

	if err := h.log.lost(); err != nil {
		return err
	}
	// Before the first read, so that a change which that read does not see wakes the watcher.
	h.shard(id).add(w)
	defer h.shard(id).remove(w)
	for {
		if h.draining() {
			return ErrDraining
		}
		if ended, err := w.catchUp(ctx); ended || err != nil {
			return err
		}
		if waits != nil && w.sent == max(after, 0) {
			if err := waits(); err != nil {
				return err
			}
		}
		waits = nil
		w.mu.Unlock()
		err := await(ctx, &w.pulse, w.woken)
		w.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// watcher is one call of Watch. There may be a hundred thousand of them.
type watcher struct {
	id      task.ID
	woken   chan struct{} // One slot: something changed since the newest read began.
	reached atomic.Int64  // The revision at which the table last ended for this watcher; 0 means not yet.

	prev, next *watcher // The other watchers of the task. The shard's lock guards them.

	// Its lock guards the rest.
	pulse
	send func(Update) error
	sent int64 // The newest revision that was sent, or after which the watch began.
}

func (w *watcher) sendBookmark() error { return w.send(Update{Bookmark: w.sent}) }

// catchUp sends what the table has beyond the newest revision sent, and reports whether the task ended with it.
func (w *watcher) catchUp(ctx context.Context) (ended bool, err error) {
	for {
		page, err := w.read(ctx)
		if err != nil {
			return false, err
		}
		outputs, err := w.outputs(ctx, page)
		if err != nil {
			return false, err
		}
		for i := range page {
			if page[i].Revision == w.sent {
				continue
			}
			u := Update{Event: &page[i]}
			if page[i].State == task.Succeeded {
				u.Outputs = outputs
			}
			if err := w.emit(func() error { return w.send(u) }); err != nil {
				return false, err
			}
			w.sent = page[i].Revision
		}
		// Only a page with room left shows that a terminal event is the newest one.
		if len(page) < w.limit() {
			w.reached.Store(w.sent)
			return page[len(page)-1].State.Terminal(), nil
		}
	}
}
