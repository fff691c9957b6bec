package groupcommit

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
)

// The errors of an item that the group did not accept. Such an item is not committed.
var (
	// ErrFull means that the list of waiting items is full: the caller should try again later.
	ErrFull = errors.New("too many writes are waiting")
	// ErrClosed means that the group was closed.
	ErrClosed = errors.New("writes are no longer accepted")
)

// Result is the result of an item: a value or an error.
type Result[Out any] struct {
	Value Out
	Err   error
}

// Commit commits a set of at least one item. It writes the result of each item to results, which has the same length
// and is zero at first.
//
// An error means that nothing was committed, and that a smaller set may succeed; results are ignored then. An error
// that would affect every item alike, such as an unreachable database, should be the result of each item instead.
//
// Commit is called by several goroutines concurrently, not by those of callers. Its context belongs to the group, so it
// has no values of the callers' contexts. Commit must bound its own time.
type Commit[In, Out any] func(ctx context.Context, items []In, results []Result[Out]) error

// Limits bound a group. Each is at least 1.
type Limits struct {
	Set     int // The maximum number of items of a set.
	Waiting int // The maximum number of waiting items, not counting those that are being committed.
	AtOnce  int // The maximum number of concurrent commits.
}

// Group gathers items of one kind. Its methods may be called concurrently.
type Group[In, Out any] struct {
	commit Commit[In, Out]
	limits Limits
	ctx    context.Context // Its end cancels running commits.
	cancel context.CancelFunc

	mu         sync.Mutex
	waiting    []*item[In, Out] // In the order in which they came.
	committing int              // How many goroutines commit sets. They end when no item waits.
	closed     bool
	committers sync.WaitGroup
}

// item is one item with its caller.
type item[In, Out any] struct {
	in     In
	caller context.Context
	result chan Result[Out] // Buffered, so that a committer never waits for a caller.
}

// New returns a group that commits sets with a function.
func New[In, Out any](commit Commit[In, Out], limits Limits) *Group[In, Out] {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // Close calls it.
	return &Group[In, Out]{commit: commit, limits: limits, ctx: ctx, cancel: cancel}
}

// Do gives an item to the group and returns its result, ErrFull, ErrClosed, or the error of ctx if it ends first.
func (g *Group[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	r := g.DoAll(ctx, []In{in})[0]
	return r.Value, r.Err
}

// DoAll gives several items to the group and returns the result of each. If the list of waiting items can't take all of
// them, it takes none.
func (g *Group[In, Out]) DoAll(ctx context.Context, ins []In) []Result[Out] {
	results := make([]Result[Out], len(ins))
	items := make([]*item[In, Out], len(ins))
	for i, in := range ins {
		items[i] = &item[In, Out]{in: in, caller: ctx, result: make(chan Result[Out], 1)}
	}
	if err := g.add(items); err != nil {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	for i, it := range items {
		results[i] = it.wait()
	}
	return results
}

// wait returns the result, or the error of the caller's context if that ends first.
func (it *item[In, Out]) wait() Result[Out] {
	select {
	case r := <-it.result:
		return r
	case <-it.caller.Done():
	}
	select {
	case r := <-it.result: // A result is better than an unknown outcome.
		return r
	default:
		return Result[Out]{Err: it.caller.Err()}
	}
}

// add appends items to the waiting ones, and starts a committer if one is needed.
func (g *Group[In, Out]) add(items []*item[In, Out]) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return ErrClosed
	case len(g.waiting)+len(items) > g.limits.Waiting:
		return ErrFull
	}
	g.waiting = append(g.waiting, items...)
	g.startCommitter()
	return nil
}

// startCommitter starts another committer if an item waits and the limit allows it. The lock must be held.
func (g *Group[In, Out]) startCommitter() {
	if len(g.waiting) > 0 && g.committing < g.limits.AtOnce {
		g.committing++
		g.committers.Go(g.commitSets)
	}
}

// commitSets commits one set after another until no item waits.
func (g *Group[In, Out]) commitSets() {
	runtime.Gosched() // Callers that are about to give items can join the set. This costs an idle group nothing.
	for set := g.take(); len(set) > 0; set = g.take() {
		g.settle(set)
	}
}

// take returns the next set. If the set is empty, the committer must end. take skips items whose caller has gone, so
// that the group does not do useless work under load.
func (g *Group[In, Out]) take() []*item[In, Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var set []*item[In, Out]
	taken := 0
	for _, it := range g.waiting {
		if len(set) == g.limits.Set {
			break
		}
		taken++
		if err := it.caller.Err(); err != nil {
			it.result <- Result[Out]{Err: err}
			continue
		}
		set = append(set, it)
	}
	g.waiting = slices.Delete(g.waiting, 0, taken)
	if len(set) == 0 {
		g.committing--
	}
	g.startCommitter() // For items that do not fit into this set.
	return set
}

// Waiting returns how many items wait, not counting those that are being committed.
func (g *Group[In, Out]) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// Close makes the group refuse new items, and waits until every item has its result. When ctx ends first, Close cancels
// the running commits and returns the error of ctx.
func (g *Group[In, Out]) Close(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	stop := context.AfterFunc(ctx, g.cancel)
	g.committers.Wait()
	if !stop() {
		return ctx.Err()
	}
	g.cancel()
	return nil
}
