package watch

import (
	"context"
	"sync/atomic"

	"github.com/refract-video/refract/internal/task"
)

// Update is one message of a watch: an event or a bookmark.
type Update struct {
	Event    *task.Event   // The next event, or nil. The receiver may keep it.
	Outputs  []task.Output // With an event whose state is SUCCEEDED.
	Bookmark int64         // Without an event: the newest revision that was sent, or the one after which the watch began.
}

// Watch sends the events of the task after a revision, each once and in order. After 0 means the whole history; a
// negative number means 0. Watch sends a bookmark whenever it has sent nothing for Config.Bookmark and the log confirms
// that there is nothing to send.
//
// Watch runs in the goroutine of its caller. It sends one message at a time, and nothing after it has returned.
// Bookmarks come from a goroutine of Run. An update is complete, so send must not read anything: while it runs, the
// stream carries no bookmark.
//
// Watch returns nil when the task is terminal and all its events were sent, at once if they had been sent before. A
// terminal event that a retry followed is history and ends nothing. Otherwise Watch returns
//
//   - an *ExpiredError when retention removed the events that follow what was sent,
//   - ErrFutureRevision when the task has not reached the revision after which events are requested,
//   - ErrUnknownTask when there is no such task, also when it is removed while it is watched,
//   - ErrDraining after Drain, the error of ctx after its end, and an error of send unchanged and at once,
//   - ErrNotReading when the log could not be read for 30 seconds; until it can be, a new watch ends at once,
//   - the error of the database when reads of this watch failed for 30 seconds.
func (h *Hub) Watch(ctx context.Context, id task.ID, after int64, send func(Update) error) error {
	return h.WatchFrom(ctx, id, after, nil, send)
}

// WatchFrom is Watch with a function that is called at most once: when the watch starts to wait without having sent
// anything. The watch was not refused then, and has not ended. A nil function is allowed.
func (h *Hub) WatchFrom(ctx context.Context, id task.ID, after int64, waits func() error, send func(Update) error) error {
	w := &watcher{
		id:    id,
		woken: make(chan struct{}, 1),
		send:  send,
		sent:  max(after, 0),
	}
	w.start(h, w)
	defer w.stop()
	defer h.cfg.Metrics.open(ctx, "task")()

	if err := h.log.lost(); err != nil {
		return err
	}
	// This precedes the first read, so that a change which that read does not see wakes the watcher.
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
		w.live = true
	}
}

// watcher is the state of one call of Watch. There may be a hundred thousand of them.
type watcher struct {
	id      task.ID
	woken   chan struct{} // One slot, full when something changed since the newest read began.
	reached atomic.Int64  // The newest revision in the table when this watcher last read to its end; 0 before that.

	prev, next *watcher // The other watchers of the task. The shard's lock guards them.

	// The pulse's lock guards the rest.
	pulse
	send func(Update) error
	live bool  // Whether the stream has waited for an event.
	sent int64 // The newest revision that was sent, or the one after which the watch began.
}

func (w *watcher) sendBookmark() error { return w.send(Update{Bookmark: w.sent}) }

// catchUp sends the events after the newest revision sent, and reports whether the last of them ended the task.
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
			w.hub.cfg.Metrics.sent(ctx, w.live, page[i].CreateTime)
		}
		// Only a page that is not full shows that a terminal event is the newest one.
		if len(page) < w.limit() {
			w.reached.Store(w.sent)
			return page[len(page)-1].State.Terminal(), nil
		}
	}
}
