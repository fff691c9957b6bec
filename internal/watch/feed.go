package watch

import (
	"math"
	"slices"
	"sync"

	"github.com/refract-video/refract/internal/task"
)

// topicSize is how many entries of a tenant are held for those who follow it. Who falls behind further reads the table.
const topicSize = 256

// feed holds the newest entries of the log for those who follow it. Its lock is held for memory only, never while
// anybody reads or sends.
type feed struct {
	begun chan struct{} // Closed once cursor is known.

	mu     sync.Mutex
	cursor task.Position // The last entry that was read; what comes later has a greater position.
	topics map[string]*topic
}

// topic is a tenant that has followers.
type topic struct {
	after     task.Position // All entries after it are here, as far as they were read.
	entries   []*task.Entry // By position. Followers share them.
	followers map[*follower]struct{}
}

// begin sets where the log is read from, and is called once.
func (f *feed) begin(at task.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cursor = at
	close(f.begun)
}

// rewind sets the log back to an earlier end: the database was restored, or a standby took over that lacked the last
// commits. Those who follow it are cut off, since they have seen what never happened.
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

// skip moves on past entries, up to the last of them, and sends all followers to the table.
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

// add makes a follower known. From then on what is read wakes it. It returns up to where the log was read.
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

// publish takes in what was read, and wakes whom it concerns.
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

// next returns up to limit entries of a follower's tenant that it has not seen, and the position that it has reached
// with them. When they are not all in memory it returns false, and up to where the table is to be read.
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
