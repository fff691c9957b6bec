package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/groupcommit"
)

var errPoison = errors.New("poison")

// journal is a commit function that takes a second and doubles its items, with a record of its calls. Negative items
// cannot be committed: -1 fails the set, -2 panics.
type journal struct {
	mu        sync.Mutex
	tries     [][]int
	committed []int
	atOnce    int
	mostTries int // The most that ran at once.
}

func (j *journal) commit(ctx context.Context, items []int, results []groupcommit.Result[int]) error {
	j.enter(items)
	defer j.leave()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	for i, n := range items {
		switch n {
		case -1:
			return fmt.Errorf("commit %d items: %w", len(items), errPoison)
		case -2:
			var none []int
			results[i].Value = none[0]
		default:
			results[i].Value = 2 * n
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.committed = append(j.committed, items...)
	return nil
}

func (j *journal) enter(items []int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tries = append(j.tries, slices.Clone(items))
	j.atOnce++
	j.mostTries = max(j.mostTries, j.atOnce)
}

func (j *journal) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.atOnce--
}

// setup returns a group that commits with a journal.
func setup(t *testing.T, limits groupcommit.Limits) (*groupcommit.Group[int, int], *journal) {
	t.Helper()
	j := &journal{}
	g := groupcommit.New(j.commit, limits)
	t.Cleanup(func() {
		if err := g.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return g, j
}

// give gives items one by one, each in its own goroutine, and returns channels of their results.
func give(ctx context.Context, g *groupcommit.Group[int, int], items ...int) []chan groupcommit.Result[int] {
	results := make([]chan groupcommit.Result[int], len(items))
	for i, n := range items {
		results[i] = make(chan groupcommit.Result[int], 1)
		go func() {
			v, err := g.Do(ctx, n)
			results[i] <- groupcommit.Result[int]{Value: v, Err: err}
		}()
		synctest.Wait() // So that they come in this order.
	}
	return results
}

func TestDo_ASingleItemDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, j := setup(t, groupcommit.Limits{Set: 10, Waiting: 10, AtOnce: 1})
		begin := time.Now()
		got, err := g.Do(t.Context(), 21)
		if got != 42 || err != nil {
			t.Errorf("Do(21) = %d, %v, want 42", got, err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it took %s, want the second of the commit and nothing else", took)
		}
		if want := [][]int{{21}}; !cmp.Equal(j.tries, want) {
			t.Errorf("sets = %v, want %v", j.tries, want)
		}
	})
}

func TestDo_WhatComesDuringACommitIsTheNextSet(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		limits groupcommit.Limits
		want   [][]int
	}{
		"one at a time":  {groupcommit.Limits{Set: 10, Waiting: 10, AtOnce: 1}, [][]int{{1}, {2, 3, 4, 5}}},
		"two at a time":  {groupcommit.Limits{Set: 10, Waiting: 10, AtOnce: 2}, [][]int{{1}, {2}, {3, 4, 5}}},
		"sets of two":    {groupcommit.Limits{Set: 2, Waiting: 10, AtOnce: 1}, [][]int{{1}, {2, 3}, {4, 5}}},
		"sets of one":    {groupcommit.Limits{Set: 1, Waiting: 10, AtOnce: 1}, [][]int{{1}, {2}, {3}, {4}, {5}}},
		"as many as can": {groupcommit.Limits{Set: 10, Waiting: 10, AtOnce: 10}, [][]int{{1}, {2}, {3}, {4}, {5}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, j := setup(t, test.limits)
				for i, result := range give(t.Context(), g, 1, 2, 3, 4, 5) {
					if r := <-result; r.Err != nil || r.Value != 2*(i+1) {
						t.Errorf("result of item %d = %+v", i+1, r)
					}
				}
				if !cmp.Equal(j.tries, test.want) {
					t.Errorf("sets = %v, want %v", j.tries, test.want)
				}
				if j.mostTries > test.limits.AtOnce {
					t.Errorf("%d sets were committed at once, want %d at the most", j.mostTries, test.limits.AtOnce)
				}
			})
		})
	}
}

func TestDo_AFullGroupRefusesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, j := setup(t, groupcommit.Limits{Set: 10, Waiting: 2, AtOnce: 1})
		taken := give(t.Context(), g, 1, 2, 3)
		begin := time.Now()
		if _, err := g.Do(t.Context(), 4); !errors.Is(err, groupcommit.ErrFull) {
			t.Errorf("Do = %v, want ErrFull", err)
		}
		for _, r := range g.DoAll(t.Context(), []int{5, 6}) {
			if !errors.Is(r.Err, groupcommit.ErrFull) {
				t.Errorf("DoAll = %v, want ErrFull", r.Err)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the refusals took %s", took)
		}
		for _, result := range taken {
			if r := <-result; r.Err != nil {
				t.Errorf("an item that was taken failed: %v", r.Err)
			}
		}
		if got, err := g.Do(t.Context(), 4); got != 8 || err != nil {
			t.Errorf("Do, when there is room again, = %d, %v", got, err)
		}
		if want := [][]int{{1}, {2, 3}, {4}}; !cmp.Equal(j.tries, want) {
			t.Errorf("sets = %v, want %v", j.tries, want)
		}
	})
}

func TestDoAll_ReturnsTheResultsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, j := setup(t, groupcommit.Limits{Set: 2, Waiting: 10, AtOnce: 2})
		results := g.DoAll(t.Context(), []int{1, 2, -1, 4, 5})
		for i, want := range []int{2, 4, 0, 8, 10} {
			if r := results[i]; r.Value != want || errors.Is(r.Err, errPoison) != (i == 2) {
				t.Errorf("result %d = %+v, want %d", i, r, want)
			}
		}
		if j.mostTries != 2 {
			t.Errorf("%d sets were committed at once, want 2", j.mostTries)
		}
	})
}

func TestDo_APoisonousItemFailsAlone(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		poison int
		is     func(error) bool
	}{
		"an error": {-1, func(err error) bool { return errors.Is(err, errPoison) }},
		"a panic": {-2, func(err error) bool {
			pe, ok := errors.AsType[*groupcommit.PanicError](err)
			return ok && strings.Contains(pe.Error(), "index out of range") && strings.Contains(pe.Error(), "journal")
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, j := setup(t, groupcommit.Limits{Set: 64, Waiting: 64, AtOnce: 1})
				items := make([]int, 64)
				for i := range items {
					items[i] = i
				}
				items[37] = test.poison
				for i, r := range g.DoAll(t.Context(), items) {
					if i == 37 && !test.is(r.Err) {
						t.Errorf("the poisonous item's result = %+v", r)
					}
					if i != 37 && (r.Err != nil || r.Value != 2*i) {
						t.Errorf("result of neighbour %d = %+v", i, r)
					}
				}
				if n := len(j.tries); n != 13 { // 64, and two halves at each of six levels.
					t.Errorf("%d tries, want 13", n)
				}
			})
		})
	}
}

func TestDo_ACallerThatLeavesDoesNotHarmItsNeighbours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, j := setup(t, groupcommit.Limits{Set: 10, Waiting: 10, AtOnce: 1})
		leaving, leave := context.WithCancel(t.Context())
		committing := give(leaving, g, 1) // Its set is being committed when its caller leaves.
		waiting := give(leaving, g, 2)    // This one still waits.
		neighbour := give(t.Context(), g, 3)
		leave()
		for _, result := range slices.Concat(committing, waiting) {
			if r := <-result; !errors.Is(r.Err, context.Canceled) {
				t.Errorf("the result of a caller that left = %+v", r)
			}
		}
		if r := <-neighbour[0]; r.Err != nil || r.Value != 6 {
			t.Errorf("the neighbour's result = %+v", r)
		}
		if want := []int{1, 3}; !cmp.Equal(j.committed, want) {
			t.Errorf("committed = %v, want %v: the running commit, and no item whose caller has gone", j.committed, want)
		}
	})
}

func TestClose_WaitsForWhatWasTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, j := setup(t, groupcommit.Limits{Set: 1, Waiting: 10, AtOnce: 1})
		taken := give(t.Context(), g, 1, 2, 3)
		if err := g.Close(t.Context()); err != nil {
			t.Errorf("Close = %v", err)
		}
		if want := []int{1, 2, 3}; !cmp.Equal(j.committed, want) {
			t.Errorf("committed when Close returned = %v, want %v", j.committed, want)
		}
		for _, result := range taken {
			if r := <-result; r.Err != nil {
				t.Errorf("an item that was taken failed: %v", r.Err)
			}
		}
		if _, err := g.Do(t.Context(), 4); !errors.Is(err, groupcommit.ErrClosed) {
			t.Errorf("Do = %v, want ErrClosed", err)
		}
	})
}

func TestClose_AbandonsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := setup(t, groupcommit.Limits{Set: 2, Waiting: 10, AtOnce: 1})
		taken := give(t.Context(), g, 1, 2, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		begin := time.Now()
		if err := g.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v, want DeadlineExceeded", err)
		}
		if took := time.Since(begin); took != time.Millisecond {
			t.Errorf("Close took %s", took)
		}
		for _, result := range taken {
			if r := <-result; !errors.Is(r.Err, context.Canceled) {
				t.Errorf("the result of an abandoned item = %+v", r)
			}
		}
	})
}
