package watch

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Table is the table of events. Its methods are called concurrently.
type Table interface {
	Events
	Log
}

// Events is the events of each task.
type Events interface {
	// TaskEvents returns up to limit events of the task after a revision, oldest first, from one snapshot. Fewer than
	// limit means that there were no more. Retention keeps the newest event of a task as long as the task.
	TaskEvents(ctx context.Context, id task.ID, after int64, limit int) ([]task.Event, error)
	// TaskOutputs returns the outputs of a task that SUCCEEDED, as they are now: some may have expired.
	TaskOutputs(ctx context.Context, id task.ID) ([]task.Output, error)
	// Revisions returns the newest revision of each of these tasks. It leaves out tasks that do not exist.
	Revisions(ctx context.Context, ids []task.ID) (map[task.ID]int64, error)
}

// Log is the events of all tasks by position.
type Log interface {
	// Frontier returns the frontier, up to which no transaction can still write, and the newest position that any
	// transaction has taken.
	Frontier(ctx context.Context) (settled, newest task.Position, err error)
	// LastPosition returns the greatest position of an entry up to another position, including removed entries; 0 means
	// that there is none.
	LastPosition(ctx context.Context, upTo task.Position) (task.Position, error)
	// Entries returns up to limit entries after a position and up to another, by position. Fewer than limit means
	// that there are no more.
	Entries(ctx context.Context, after, upTo task.Position, limit int) ([]task.Entry, error)
	// TenantEntries is Entries for one tenant. It also returns the greatest position of an entry of the tenant that was
	// removed; 0 means that none was.
	TenantEntries(ctx context.Context, tenant string, after, upTo task.Position, limit int) (
		entries []task.Entry, removed task.Position, err error)
}

// DefaultSweep is the default of Config.Sweep.
const DefaultSweep = 500 * time.Millisecond

// Config holds the settings of a hub. The zero value works: a value that is not positive means the default.
type Config struct {
	Bookmark time.Duration // How long a stream is quiet before it carries a bookmark; 15 seconds by default.
	Sweep    time.Duration // The interval of sweeps without a notification; DefaultSweep by default.
	Census   time.Duration // The interval of censuses; a minute by default.
	Page     int           // How many new events a watcher reads at once; 100 by default.
	Reads    int           // How many watchers read at the same time; 8 by default.
	Metrics  *Metrics      // Of this hub alone; nil measures nothing.
	Logger   *slog.Logger  // Logs once when sweeps begin to fail, and when they succeed again; nil means slog.Default().
	// Readable is called with false when the log could not be read for 30 seconds, before the watches end, and with true
	// once it can be read again. It must not block or call the hub. Nil does nothing.
	Readable func(readable bool)
}

// Hub wakes watchers. Its methods may be called concurrently.
type Hub struct {
	table Table
	cfg   Config

	drained  chan struct{} // Closed by drain.
	drain    func()
	sweepNow chan struct{} // One slot: read the log now.
	reads    chan struct{} // A token for each read of the table that may start.

	seed   maphash.Seed
	shards [64]shard // Many, so that no watcher waits long while a census reads one of them.

	log       *logState
	feed      feed
	followers atomic.Int64
	bookmarks *bookmarks
}

// NewHub returns a hub over the table of events. The log is read, and bookmarks are sent, while Run runs.
func NewHub(table Table, cfg Config) *Hub {
	cfg.Bookmark = positive(cfg.Bookmark, 15*time.Second)
	cfg.Sweep = positive(cfg.Sweep, DefaultSweep)
	cfg.Census = positive(cfg.Census, time.Minute)
	cfg.Page = positive(cfg.Page, 100)
	cfg.Reads = positive(cfg.Reads, 8)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Readable == nil {
		cfg.Readable = func(bool) {}
	}
	state := newLogState(cfg.Logger, cfg.Readable)
	h := &Hub{
		table:     table,
		cfg:       cfg,
		drained:   make(chan struct{}),
		sweepNow:  make(chan struct{}, 1),
		reads:     make(chan struct{}, cfg.Reads),
		seed:      maphash.MakeSeed(),
		log:       state,
		bookmarks: newBookmarks(cfg.Bookmark, state),
		feed:      feed{begun: make(chan struct{}), topics: make(map[string]*topic)},
	}
	h.drain = sync.OnceFunc(func() { close(h.drained) })
	for range cfg.Reads {
		h.reads <- struct{}{}
	}
	for i := range h.shards {
		h.shards[i].first = make(map[task.ID]*watcher)
	}
	return h
}

// Wake wakes the watchers of these tasks. It must be called after a change was committed. It never waits for a watcher.
func (h *Hub) Wake(ids ...task.ID) {
	for _, id := range ids {
		h.shard(id).wake(id, math.MaxInt64)
	}
	if h.followers.Load() > 0 {
		signal(h.sweepNow)
	}
}

// WakeAll must be called when wakes may have been lost, as after a reconnect. It never waits. It makes Run read the log
// at once, so only watchers that missed something read the table.
func (h *Hub) WakeAll() { signal(h.sweepNow) }

// Drain ends every watch, current and new, with ErrDraining. It does not interrupt a message that is being sent, and no
// other message follows.
func (h *Hub) Drain() { h.drain() }

// Read calls a function that reads the database for a new watch, within the bound on concurrent reads of watchers. So
// many watches that begin at once do not occupy the database. While the log is lost, Read returns ErrNotReading at
// once.
func (h *Hub) Read(ctx context.Context, read func() error) error {
	if err := h.refusal(); err != nil {
		return err
	}
	select {
	case <-h.reads:
	case <-h.drained:
		return ErrDraining
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { h.reads <- struct{}{} }()
	return read()
}

// draining reports whether Drain was called.
func (h *Hub) draining() bool {
	select {
	case <-h.drained:
		return true
	default:
		return false
	}
}

// refusal returns the error with which a new watch is refused now, or nil.
func (h *Hub) refusal() error {
	if h.draining() {
		return ErrDraining
	}
	return h.log.lost()
}

// shard returns the shard that holds the watchers of the task.
func (h *Hub) shard(id task.ID) *shard {
	return &h.shards[maphash.String(h.seed, string(id))%uint64(len(h.shards))]
}

// signal fills the slot of a channel, unless a signal is waiting there already.
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
