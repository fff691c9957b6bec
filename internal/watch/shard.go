package watch

import (
	"sync"

	"github.com/refract-video/refract/internal/task"
)

// shard holds the watchers of some tasks. Its lock guards memory only; no goroutine holds it while it reads or sends.
type shard struct {
	mu    sync.Mutex
	first map[task.ID]*watcher // The head of each task's list of watchers.
}

func (s *shard) add(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := s.first[w.id]; next != nil {
		w.next, next.prev = next, w
	}
	s.first[w.id] = w
}

func (s *shard) remove(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.next != nil {
		w.next.prev = w.prev
	}
	switch {
	case w.prev != nil:
		w.prev.next = w.next
	case w.next != nil:
		s.first[w.id] = w.next
	default:
		delete(s.first, w.id)
	}
}

// empty reports whether no task of the shard is watched.
func (s *shard) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.first) == 0
}

// wake wakes the watchers of the task that have not reached the revision.
func (s *shard) wake(id task.ID, revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := s.first[id]; w != nil; w = w.next {
		if w.reached.Load() < revision {
			signal(w.woken)
		}
	}
}

// appendWaiting appends the tasks that have a watcher at the end of the table. The other watchers are about to read
// anyway, and one whose reads fail must not make the census of all tasks fail.
func (s *shard) appendWaiting(ids []task.ID) []task.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, w := range s.first {
		for w != nil && w.reached.Load() == 0 {
			w = w.next
		}
		if w != nil {
			ids = append(ids, id)
		}
	}
	return ids
}
