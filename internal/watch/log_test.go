package watch_test

import (
	"context"
	"slices"
	"strings"

	"github.com/refract-video/refract/internal/task"
)

// log is the log of a table. The tenant of a task is the part of its id before a slash, or "films".
type log struct {
	entries []task.Entry
	hidden  map[task.Position]bool // Taken and not committed.
	hiding  bool                   // Whether new entries stay uncommitted.
	taken   task.Position
	removed map[string]task.Position
	reads   int    // Calls of TenantEntries.
	pages   int    // Calls of Entries.
	before  func() // Called once, after the next LastPosition has read its result and before it returns.
	labels  map[task.ID]map[string]string
}

func tenantOf(id task.ID) string {
	tenant, _, named := strings.Cut(string(id), "/")
	if !named {
		return "films"
	}
	return tenant
}

func (l *log) append(id task.ID, e task.Event) {
	l.taken++
	if l.hiding {
		if l.hidden == nil {
			l.hidden = make(map[task.Position]bool)
		}
		l.hidden[l.taken] = true
	}
	l.entries = append(l.entries, task.Entry{Position: l.taken, Tenant: tenantOf(id), Task: id, Labels: l.labels[id], Event: e})
}

// hide sets whether new entries stay uncommitted. It applies to the log alone.
func (t *table) hide(hiding bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log.hiding = hiding
}

// show commits the uncommitted entries.
func (t *table) show() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log.hidden, t.log.hiding = nil, false
}

// label sets the labels of a task that does not exist yet.
func (t *table) label(id task.ID, labels map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log.labels == nil {
		t.log.labels = make(map[task.ID]map[string]string)
	}
	t.log.labels[id] = labels
}

// forget removes entries up to a position, like retention.
func (t *table) forget(upTo task.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log.entries = slices.DeleteFunc(t.log.entries, func(e task.Entry) bool {
		gone := e.Position <= upTo && !t.log.hidden[e.Position]
		if gone {
			if t.log.removed == nil {
				t.log.removed = make(map[string]task.Position)
			}
			t.log.removed[e.Tenant] = max(t.log.removed[e.Tenant], e.Position)
		}
		return gone
	})
}

// restore sets the log back to the state at a position.
func (t *table) restore(to task.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log.entries = slices.DeleteFunc(t.log.entries, func(e task.Entry) bool { return e.Position > to })
	t.log.taken = to
}

// tableReads returns how often a follower read the table.
func (t *table) tableReads() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.log.reads
}

// end returns the newest position.
func (t *table) end() task.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.log.taken
}

func (t *table) Frontier(ctx context.Context) (settled, newest task.Position, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.trouble(ctx); err != nil {
		return 0, 0, err
	}
	settled = t.log.taken
	for p := range t.log.hidden {
		settled = min(settled, p-1)
	}
	return settled, t.log.taken, nil
}

func (t *table) LastPosition(ctx context.Context, upTo task.Position) (task.Position, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.trouble(ctx); err != nil {
		return 0, err
	}
	var last task.Position
	for _, e := range t.log.entries {
		if e.Position <= upTo && !t.log.hidden[e.Position] {
			last = max(last, e.Position)
		}
	}
	for _, p := range t.log.removed {
		if p <= upTo {
			last = max(last, p)
		}
	}
	if before := t.log.before; before != nil {
		t.log.before = nil
		t.mu.Unlock()
		before()
		t.mu.Lock()
	}
	return last, nil
}

func (t *table) Entries(ctx context.Context, after, upTo task.Position, limit int) ([]task.Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.trouble(ctx); err != nil {
		return nil, err
	}
	t.log.pages++
	return t.log.page(after, upTo, limit, func(task.Entry) bool { return true }), nil
}

// pagesRead returns how many pages of the whole log were read.
func (t *table) pagesRead() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.log.pages
}

// beforeNextLast sets a function that is called before LastPosition returns next.
func (t *table) beforeNextLast(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log.before = f
}

func (t *table) TenantEntries(ctx context.Context, tenant string, after, upTo task.Position, limit int) ([]task.Entry, task.Position, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log.reads++
	if err := t.trouble(ctx); err != nil {
		return nil, 0, err
	}
	return t.log.page(after, upTo, limit, func(e task.Entry) bool { return e.Tenant == tenant }), t.log.removed[tenant], nil
}

func (l *log) page(after, upTo task.Position, limit int, is func(task.Entry) bool) []task.Entry {
	var page []task.Entry
	from, _ := slices.BinarySearchFunc(l.entries, after+1, func(e task.Entry, p task.Position) int { return int(e.Position - p) })
	for _, e := range l.entries[from:] {
		if e.Position > upTo || len(page) == limit {
			break
		}
		if !l.hidden[e.Position] && is(e) {
			page = append(page, e)
		}
	}
	return page
}
