package watch

import (
	"math"
	"slices"
	"sync"

	"github.com/refract-video/refract/internal/task"
)

// topicSize is how many entries of a followed tenant are held in memory. A follower that is further behind reads the table.
const topicSize = 256

// feed holds the newest entries of the log for followers. Its lock guards memory only; no goroutine holds it while it
// reads or sends.
type feed struct {
	begun chan struct{} // Closed once cursor is known.

	mu     sync.Mutex
	cursor task.Position // The last entry that was read; later entries have greater positions.
	topics map[string]*topic
}

// topic is a tenant that has followers.
type topic struct {
	after     task.Position // All entries after it that were read are here.
	entries   []*task.Entry // By position. Followers share them.
	followers map[*follower]struct{}
}

// begin sets the position from which the log is read. It is called once.
func (f *feed) begin(at task.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cursor = at
	close(f.begun)
}

// rewind sets the cursor back after the log has shrunk: the database was restored, or a standby without the last
// commits took over. It ends all followers, since they may have seen events that the database no longer has.
func (f *feed) rewind(to task.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cursor = to
	for _, t := range f.topics {
		t.after, t.entries = to, nil
		for w := range t.followers {
			w.cut = true
			signal(w.woken)
		}
	}
}

// skip moves the cursor past entries without keeping them, so that all followers read them from the table.
func (f *feed) skip(last task.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cursor = last
	for _, t := range f.topics {
		t.after, t.entries = last, nil
		for w := range t.followers {
			signal(w.woken)
		}
	}
}

// empty reports whether the log has no follower.
func (f *feed) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.topics) == 0
}

// add registers a follower, which new entries wake from then on. It returns the position up to which the log was read.
func (f *feed) add(w *follower) task.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[w.tenant]
	if t == nil {
		t = &topic{after: f.cursor, followers: make(map[*follower]struct{})}
		f.topics[w.tenant] = t
	}
	t.followers[w] = struct{}{}
	return f.cursor
}

func (f *feed) remove(w *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[w.tenant]
	delete(t.followers, w)
	if len(t.followers) == 0 {
		delete(f.topics, w.tenant)
	}
}

// publish adds entries that were read, and wakes the followers of their tenants.
func (f *feed) publish(entries []task.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		f.cursor = e.Position
		t := f.topics[e.Tenant]
		if t == nil {
			continue
		}
		t.entries = append(t.entries, new(*e)) // A copy, so that one entry does not hold the others of its page.
		if surplus := len(t.entries) - topicSize; surplus >= topicSize {
			t.after = t.entries[surplus-1].Position
			t.entries = slices.Clone(t.entries[surplus:])
		}
		for w := range t.followers {
			signal(w.woken)
		}
	}
}

// next returns up to limit entries of a follower's tenant that it has not seen, and the position that it reaches with
// them. When some are no longer in memory, next returns false and the position up to which the follower must read the
// table.
func (f *feed) next(w *follower, limit int) (page []*task.Entry, reached task.Position, ok bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.cut {
		return nil, 0, false, ErrFuturePosition
	}
	t := f.topics[w.tenant]
	if w.sent < t.after {
		return nil, f.cursor, false, nil
	}
	from, _ := slices.BinarySearchFunc(t.entries, w.sent+1, func(e *task.Entry, p task.Position) int {
		return int(e.Position - p)
	})
	page = t.entries[from:]
	if len(page) > limit {
		page = page[:limit]
		return slices.Clone(page), page[limit-1].Position, true, nil
	}
	return slices.Clone(page), max(w.sent, f.cursor), true, nil
}

// wakeAll wakes every watcher of a task.
func (h *Hub) wakeAll() {
	for i := range h.shards {
		for _, id := range h.shards[i].appendWaiting(nil) {
			h.shards[i].wake(id, math.MaxInt64)
		}
	}
}
