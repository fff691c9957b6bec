package watch

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Events is the table of events. Its methods are called concurrently.
type Events interface {
	// TaskEvents returns up to limit events of the task after a revision, oldest first, as they were at one
	// moment. Fewer than limit means that there were no more. The newest event of a task is there as long
	// as the task is, whatever retention removes.
	TaskEvents(ctx context.Context, id task.ID, after int64, limit int) ([]task.Event, error)
	// Revisions returns the newest revision of each of these tasks. It leaves out tasks that do not exist.
	Revisions(ctx context.Context, ids []task.ID) (map[task.ID]int64, error)
}

// Config is what can be set of a hub. The zero value works; what is not positive means the default.
type Config struct {
	Bookmark time.Duration // How long a stream is silent before it carries a bookmark; 15 seconds by default.
	Sweep    time.Duration // How often watched tasks are compared with the table; 1 second by default.
	Page     int           // How many new events a watcher reads at once; 100 by default.
	Logger   *slog.Logger  // Told of outages that sweeps meet; nil means slog.Default().
}

// Hub wakes watchers. Its methods may be called concurrently.
type Hub struct {
	events Events
	cfg    Config

	drained chan struct{} // Closed by drain.
	drain   func()
	nudge   chan struct{} // One slot: a sweep is wanted now.

	seed   maphash.Seed
	shards [64]shard // So many that nobody waits long while a sweep walks through one of them.
}

// NewHub returns a hub over the table of events. Sweeps happen while Run runs.
func NewHub(events Events, cfg Config) *Hub {
	cfg.Bookmark = positive(cfg.Bookmark, 15*time.Second)
	cfg.Sweep = positive(cfg.Sweep, time.Second)
	cfg.Page = positive(cfg.Page, 100)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	h := &Hub{
		events:  events,
		cfg:     cfg,
		drained: make(chan struct{}),
		nudge:   make(chan struct{}, 1),
		seed:    maphash.MakeSeed(),
	}
	h.drain = sync.OnceFunc(func() { close(h.drained) })
	for i := range h.shards {
		h.shards[i].first = make(map[task.ID]*watcher)
	}
	return h
}

// Wake tells the watchers of these tasks that something changed. It is called after the change was
// committed, and never waits for a watcher.
func (h *Hub) Wake(ids ...task.ID) {
	for _, id := range ids {
		h.shard(id).wake(id, math.MaxInt64)
	}
}

// WakeAll tells that wakes may have been lost, as after a reconnect. It never waits: Run sweeps at once
// instead of at its next turn, so that only watchers which missed something read the table.
func (h *Hub) WakeAll() { signal(h.nudge) }

// Drain ends every watch, present and future, with ErrDraining. A message that is being sent is not
// interrupted; no other one follows it.
func (h *Hub) Drain() { h.drain() }

// draining tells whether Drain was called.
func (h *Hub) draining() bool {
	select {
	case <-h.drained:
		return true
	default:
		return false
	}
}

// shard returns the shard that holds the watchers of the task.
func (h *Hub) shard(id task.ID) *shard {
	return &h.shards[maphash.String(h.seed, string(id))%uint64(len(h.shards))]
}

// signal fills the slot of a channel, unless it is full already: then a signal is on its way.
func signal(slot chan<- struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}

// positive returns v, or the default where v is not positive.
func positive[T int | time.Duration](v, byDefault T) T {
	if v <= 0 {
		return byDefault
	}
	return v
}
