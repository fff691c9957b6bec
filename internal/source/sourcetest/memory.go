package sourcetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// Memory is a store of preparations in memory, which passes TestPreparations, so that tests can use the time of testing/synctest.
// It also stands for the tables of uploaded sources and of probes, and for the verbs, whose calls it notes. Its methods may be
// called concurrently.
type Memory struct {
	mu      sync.Mutex
	last    source.PreparationID
	held    int // Tasks that ever waited.
	rows    map[source.PreparationID]*row
	waiting map[task.ID]*waiter
	sources map[task.SourceID]task.Source
	copies  map[string]string
	probes  map[string]task.Clip

	accepted bool
	reads    int
	calls    []Call
}

// Call is a call of a verb.
type Call struct {
	Verb   string // "prepared", "unprepared" or "block".
	Waiter source.Waiter
	Cause  error
	Time   time.Time
}

type row struct {
	source.Preparation

	id       source.PreparationID
	host     string
	created  time.Time
	due      time.Time
	busy     bool
	tries    int
	message  string
	joined   int64
	refusals task.RefusalHistory
}

type waiter struct {
	source.Waiter

	spec   task.Spec
	on     source.PreparationID
	locked bool // Whether another transaction has locked the task.
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		rows: map[source.PreparationID]*row{}, waiting: map[task.ID]*waiter{}, sources: map[task.SourceID]task.Source{},
		copies: map[string]string{}, probes: map[string]task.Clip{},
	}
}

// BeginPreparation implements source.Preparations.
func (m *Memory) BeginPreparation(_ context.Context, p source.Preparation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.join(p)
	return nil
}

func (m *Memory) join(p source.Preparation) *row {
	for _, r := range m.rows {
		if r.Tenant == p.Tenant && r.Account == p.Account && r.Subject() == p.Subject() {
			r.joined++
			return r
		}
	}
	m.last++
	r := &row{Preparation: p, id: m.last, host: p.Host(), created: time.Now(), due: time.Now(), joined: 1}
	m.rows[r.id] = r
	return r
}

// Hold makes a task wait for a preparation.
func (m *Memory) Hold(_ testing.TB, p source.Preparation) source.Waiter {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held++
	w := source.Waiter{Task: task.ID(fmt.Sprintf("task-%d", m.held)), Revision: 1}
	m.waiting[w.Task] = &waiter{Waiter: w, spec: p.Spec(), on: m.join(p).id}
	return w
}

// Lock locks the task of a waiter, as another transaction does, until unlock is called.
func (m *Memory) Lock(w source.Waiter) (unlock func()) {
	set := func(locked bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.waiting[w.Task].locked = locked
	}
	set(true)
	return func() { set(false) }
}

// ClaimPreparations implements source.Preparations.
func (m *Memory) ClaimPreparations(_ context.Context, want source.Claim) ([]source.Claimed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	held, made := map[string]int{}, maps.Clone(want.Made)
	if made == nil {
		made = map[source.Party]int{}
	}
	for p, n := range made {
		held[p.Tenant] += n
	}
	most := map[string]int{}
	var due []*row
	for _, r := range m.rows {
		if r.due.After(now) || (r.Source != "") != want.Uploaded {
			continue
		}
		due = append(due, r)
		most[r.Tenant] = max((held[r.Tenant]+want.Free)/2, 1)
	}
	slices.SortFunc(due, compareRows)
	type candidate struct {
		*row
		place, rank int
	}
	byTenant := map[string][]candidate{}
	places := map[source.Party]int{}
	for _, r := range due {
		party := source.Party{Tenant: r.Tenant, Host: r.host}
		places[party]++
		if made[party]+places[party] <= max((made[party]+most[r.Tenant]-held[r.Tenant])/2, 1) {
			byTenant[r.Tenant] = append(byTenant[r.Tenant], candidate{row: r, place: made[party] + places[party]})
		}
	}
	var chosen []candidate
	for tenant, all := range byTenant {
		slices.SortFunc(all, func(a, b candidate) int {
			return cmp.Or(compareFailed(a.row, b.row), cmp.Compare(a.place, b.place), compareRows(a.row, b.row))
		})
		for i, c := range all {
			if c.rank = held[tenant] + i + 1; c.rank <= most[tenant] {
				chosen = append(chosen, c)
			}
		}
	}
	slices.SortFunc(chosen, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.rank, b.rank), compareRows(a.row, b.row)) })
	var claimed []source.Claimed
	for _, c := range chosen[:min(len(chosen), (want.Free+1)/2)] {
		c.busy, c.due = true, now.Add(want.Lease)
		claimed = append(claimed, source.Claimed{
			Preparation: m.wanted(c.row), ID: c.id, Party: source.Party{Tenant: c.Tenant, Host: c.host}, Tries: c.tries, Age: now.Sub(c.created),
		})
	}
	return claimed, nil
}

// wanted returns a preparation with its URI, which only a task that waits has.
func (m *Memory) wanted(r *row) source.Preparation {
	p := source.Preparation{Tenant: r.Tenant, Account: r.Account, Source: r.Source}
	for _, w := range m.waiting {
		if w.on == r.id {
			p.URI = w.spec.SourceURI
		}
	}
	return p
}

func compareRows(a, b *row) int {
	return cmp.Or(compareFailed(a, b), a.due.Compare(b.due), cmp.Compare(a.id, b.id))
}

// compareFailed puts what never failed first.
func compareFailed(a, b *row) int { return cmp.Compare(min(a.tries, 1), min(b.tries, 1)) }

// RenewPreparations implements source.Preparations.
func (m *Memory) RenewPreparations(_ context.Context, ids []source.PreparationID, lease time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if r, ok := m.rows[id]; ok && r.busy {
			r.due = time.Now().Add(lease)
		}
	}
	return nil
}

// DelayPreparation implements source.Preparations.
func (m *Memory) DelayPreparation(_ context.Context, id source.PreparationID, delay time.Duration, message string) error {
	m.delay(id, delay, 1, message)
	return nil
}

// GiveBackPreparation implements source.Preparations.
func (m *Memory) GiveBackPreparation(_ context.Context, c source.Claimed) error {
	m.delay(c.ID, 0, 0, "")
	return nil
}

func (m *Memory) delay(id source.PreparationID, delay time.Duration, tries int, message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.rows[id]; ok {
		r.busy, r.due, r.message = false, time.Now().Add(delay), message
		r.tries += tries
	}
}

// PreparationRefusals implements source.Preparations.
func (m *Memory) PreparationRefusals(_ context.Context, id source.PreparationID) (task.RefusalHistory, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[id]
	if !ok {
		return task.RefusalHistory{}, source.ErrNotFound
	}
	h := r.refusals
	h.OthersAccepted = h.Refusals > 0 && m.accepted
	return h, nil
}

// RefusePreparation implements source.Preparations.
func (m *Memory) RefusePreparation(_ context.Context, id source.PreparationID, blame task.Blame) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.rows[id]; ok {
		r.refusals.Refusals++
		if blame == task.BlameTask {
			r.refusals.Faults++
		}
	}
	return nil
}

// PreparationWaiters implements source.Preparations.
func (m *Memory) PreparationWaiters(_ context.Context, id source.PreparationID, limit int) ([]source.Waiter, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	r, ok := m.rows[id]
	if !ok {
		return nil, 0, source.ErrNotFound
	}
	var waiters []source.Waiter
	for _, w := range m.waiting { // In an order that changes.
		if w.on == id && len(waiters) < limit {
			waiters = append(waiters, w.Waiter)
		}
	}
	return waiters, r.joined, nil
}

// EndPreparation implements source.Preparations.
func (m *Memory) EndPreparation(_ context.Context, id source.PreparationID, joined int64) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[id]
	if ok = ok && r.joined == joined; ok {
		delete(m.rows, id)
	}
	return ok, nil
}

// ReleaseTasks ends the wait of tasks that are not locked.
func (m *Memory) ReleaseTasks(_ context.Context, waiters []source.Waiter) error {
	m.settle("prepared", nil, waiters...)
	return nil
}

// Prepared implements source.Verbs.
func (m *Memory) Prepared(ctx context.Context, waiters []source.Waiter) error {
	return m.ReleaseTasks(ctx, waiters)
}

// Unprepared implements source.Verbs.
func (m *Memory) Unprepared(_ context.Context, w source.Waiter, cause error) error {
	m.settle("unprepared", cause, w)
	return nil
}

func (m *Memory) settle(verb string, cause error, waiters ...source.Waiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range waiters {
		if found, ok := m.waiting[w.Task]; ok && !found.locked && found.Waiter == w {
			delete(m.waiting, w.Task)
			m.calls = append(m.calls, Call{Verb: verb, Waiter: w, Cause: cause, Time: time.Now()})
		}
	}
}

// Block implements source.Verbs.
func (m *Memory) Block(_ context.Context, w source.Waiter, _ string, cause *provider.Error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, Call{Verb: "block", Waiter: w, Cause: cause, Time: time.Now()})
	return nil
}

// JudgeUpload implements source.Verbs, by the rules of package lifecycle.
func (*Memory) JudgeUpload(h task.RefusalHistory, answer *provider.Error) (task.Blame, *provider.Error) {
	return new(lifecycle.Lifecycle).JudgeUpload(h, answer)
}

// Calls returns the calls of verbs that had an effect.
func (m *Memory) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Reads returns how often waiters were read.
func (m *Memory) Reads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads
}

// Refuse sets how an account answered the uploads of all preparations before, and other tasks since.
func (m *Memory) Refuse(h task.RefusalHistory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accepted, h.OthersAccepted = h.OthersAccepted, false
	for _, r := range m.rows {
		r.refusals = h
	}
}

// Messages returns why the preparations that are delayed failed.
func (m *Memory) Messages() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var messages []string
	for _, r := range m.rows {
		if !r.busy && r.tries > 0 {
			messages = append(messages, r.message)
		}
	}
	return messages
}

// Add adds an uploaded source.
func (m *Memory) Add(s task.Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources[s.ID] = s
}

// Source implements source.Handover.
func (m *Memory) Source(_ context.Context, id task.SourceID) (task.Source, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sources[id]
	if !ok {
		return s, source.ErrNotFound
	}
	return s, nil
}

// SourceCopy implements source.Handover.
func (m *Memory) SourceCopy(_ context.Context, id task.SourceID, account string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copies[string(id)+" "+account], nil
}

// KeepSourceCopy implements source.Handover. A copy never expires.
func (m *Memory) KeepSourceCopy(_ context.Context, id task.SourceID, account, uri string, _ time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.copies[string(id)+" "+account] = uri
	return nil
}

// Probed implements source.Handover.
func (m *Memory) Probed(_ context.Context, uri string) (task.Clip, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.probes[uri]
	return c, ok, nil
}

// KeepProbe implements source.Handover. A probe never expires.
func (m *Memory) KeepProbe(_ context.Context, uri string, c task.Clip, _ time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probes[uri] = c
	return nil
}
