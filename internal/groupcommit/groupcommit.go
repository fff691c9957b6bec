package groupcommit

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
)

// Why an item was not taken. Nothing was done for it.
var (
	// ErrFull means that as many items wait as may: the caller should come again later.
	ErrFull = errors.New("too many writes are waiting")
	// ErrClosed means that the group was closed.
	ErrClosed = errors.New("no more writes are taken")
)

// Result is what became of an item.
type Result[Out any] struct {
	Value Out
	Err   error
}

// Commit commits a set of items, of which there is at least one, and says in results, which is as long and zero at
// first, what became of each.
//
// An error means that nothing was committed and that fewer items might fare better; then what stands in results
// does not count. For an error that would meet every item alike, such as a database that is out of reach, it
// rather gives that to each item as its result.
//
// It is called by several goroutines at once, not by that of a caller, and its context is the group's. Values of
// the callers' contexts are not in it, since a set belongs to many. It bounds its own time.
type Commit[In, Out any] func(ctx context.Context, items []In, results []Result[Out]) error

// Limits bound a group. Each is at least 1.
type Limits struct {
	Set     int // How many items a set has at the most.
	Waiting int // How many items wait at the most, not counting those that are being committed.
	AtOnce  int // How many sets are committed at the same time.
}

// Group gathers items of one kind. Its methods may be called concurrently.
type Group[In, Out any] struct {
	commit Commit[In, Out]
	limits Limits
	ctx    context.Context // Ends when what is under way is to be abandoned.
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
	result chan Result[Out] // Has room for the one result, so that no committer waits for a caller.
}

// New returns a group that commits by a function.
func New[In, Out any](commit Commit[In, Out], limits Limits) *Group[In, Out] {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // Close calls it.
	return &Group[In, Out]{commit: commit, limits: limits, ctx: ctx, cancel: cancel}
}

// Do gives an item to the group and returns its result, ErrFull, ErrClosed, or the error of a context that ended
// before there was a result.
func (g *Group[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	r := g.DoAll(ctx, []In{in})[0]
	return r.Value, r.Err
}

// DoAll gives several items to the group, all or, when there is no room for all, none, and returns the result of
// each.
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

// wait returns the result, or why its caller waits no more.
func (it *item[In, Out]) wait() Result[Out] {
	select {
	case r := <-it.result:
		return r
	case <-it.caller.Done():
	}
	select {
	case r := <-it.result: // What is known is better than what is not.
		return r
	default:
		return Result[Out]{Err: it.caller.Err()}
	}
}

// add makes items wait for their set, and starts a committer where one is needed.
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
	g.employ()
	return nil
}

// employ starts another committer where an item waits and the limit allows it. The lock is held.
func (g *Group[In, Out]) employ() {
	if len(g.waiting) > 0 && g.committing < g.limits.AtOnce {
		g.committing++
		g.committers.Go(g.commitSets)
	}
}

// commitSets commits one set after another until no item waits.
func (g *Group[In, Out]) commitSets() {
	runtime.Gosched() // Those who are about to come may come along: it costs an idle group nothing.
	for set := g.take(); len(set) > 0; set = g.take() {
		g.settle(set)
	}
}

// take returns the next set, or nothing, and then its committer has ended. Items whose caller has gone are left out:
// under load this keeps the group from work that no caller waits for.
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
	g.employ() // For what does not fit into this set.
	return set
}

// Waiting returns how many items wait, not counting those that are being committed.
func (g *Group[In, Out]) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// Close takes no more items and returns when every item that was taken has its result. When ctx ends before, the
// commits that are under way are canceled, and it returns the error of ctx.
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
