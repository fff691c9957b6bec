package watch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/task"
)

var errOutage = errors.New("the database is away")

// table stands in for the events table in tests that control time. It can fail, hang, remove events, and run a function
// between a read and its result.
type table struct {
	mu      sync.Mutex
	tasks   map[task.ID]*row
	down    bool
	hanging bool
	slow    time.Duration // How long each read takes.
	poison  task.ID       // Every read of this task fails, or hangs where stuck is set; the log can be read.
	stuck   bool
	during  func() // Called once, by the next TaskEvents, after it read and before it answers.
	reads   int    // Calls of TaskEvents.
	log     log
	batches []int // How many tasks each call of Revisions named.
}

type row struct {
	revision int64
	events   []task.Event
}

func newTable() *table { return &table{tasks: make(map[task.ID]*row)} }

// append commits events that take the task to these states. They wake no watcher.
func (t *table) append(id task.ID, states ...task.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.tasks[id]
	if r == nil {
		r = &row{}
		t.tasks[id] = r
	}
	for _, s := range states {
		r.revision++
		r.events = append(r.events, task.Event{Revision: r.revision, State: s, CreateTime: time.Now()})
		t.log.append(id, r.events[len(r.events)-1])
	}
}

// removeBefore removes events older than the revision, like retention.
func (t *table) removeBefore(id task.ID, revision int64) {
	t.remove(id, func(e task.Event) bool { return e.Revision < revision })
}

func (t *table) remove(id task.ID, gone func(task.Event) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tasks[id].events = slices.DeleteFunc(t.tasks[id].events, gone)
}

func (t *table) removeTask(id task.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tasks, id)
}

func (t *table) setDown(down bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = down
}

func (t *table) setHanging(hanging bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hanging = hanging
}

// setPoison makes every read of a task fail.
func (t *table) setPoison(id task.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.poison, t.stuck = id, false
}

// setStuck makes every read of a task hang.
func (t *table) setStuck(id task.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.poison, t.stuck = id, true
}

func (t *table) setSlow(slow time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slow = slow
}

func (t *table) beforeNextAnswer(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.during = f
}

// asked returns how many pages were read, and how many tasks each call of Revisions named.
func (t *table) asked() (reads int, batches []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reads, slices.Clone(t.batches)
}

func (t *table) newest(id task.ID) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tasks[id].revision
}

func (t *table) TaskEvents(ctx context.Context, id task.ID, after int64, limit int) ([]task.Event, error) {
	page, during, err := t.page(ctx, id, after, limit)
	if during != nil {
		during()
	}
	return page, err
}

func (t *table) page(ctx context.Context, id task.ID, after int64, limit int) ([]task.Event, func(), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads++
	if err := t.trouble(ctx, id); err != nil {
		return nil, nil, err
	}
	var page []task.Event
	if r := t.tasks[id]; r != nil {
		from, _ := slices.BinarySearchFunc(r.events, after+1, func(e task.Event, revision int64) int {
			return int(e.Revision - revision)
		})
		page = slices.Clone(r.events[from:min(from+limit, len(r.events))])
	}
	during := t.during
	t.during = nil
	return page, during, nil
}

func (t *table) TaskOutputs(ctx context.Context, id task.ID) ([]task.Output, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.trouble(ctx, id); err != nil {
		return nil, err
	}
	if t.tasks[id] == nil {
		return nil, nil
	}
	return []task.Output{{Key: "outputs/" + string(id)}}, nil
}

func (t *table) Revisions(ctx context.Context, ids []task.ID) (map[task.ID]int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.batches = append(t.batches, len(ids))
	if err := t.trouble(ctx, ids...); err != nil {
		return nil, err
	}
	newest := make(map[task.ID]int64, len(ids))
	for _, id := range ids {
		if r := t.tasks[id]; r != nil {
			newest[id] = r.revision
		}
	}
	return newest, nil
}

// trouble returns the configured failure of a read, or hangs. It is called, and returns, with the lock held.
func (t *table) trouble(ctx context.Context, ids ...task.ID) error {
	poisoned := t.poison != "" && slices.Contains(ids, t.poison)
	if t.hanging || t.stuck && poisoned {
		t.mu.Unlock()
		<-ctx.Done()
		t.mu.Lock()
		return ctx.Err()
	}
	if t.slow > 0 {
		late := time.After(t.slow)
		t.mu.Unlock()
		select {
		case <-late:
		case <-ctx.Done():
		}
		t.mu.Lock()
	}
	if t.down || poisoned {
		return errOutage
	}
	return ctx.Err()
}
