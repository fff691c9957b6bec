package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/groupcommit"
)

// visit is one call that a property makes.
type visit struct {
	items   []int
	at      time.Duration // When it comes.
	leaves  time.Duration // How long after that it leaves; 0 means never.
	results []groupcommit.Result[int]
}

// Calls come at any time, fail, panic, leave or find the group full. Every item must get the one true result, and none
// may be committed twice.
func FuzzGroup_EveryItemGetsExactlyOneTrueResult(f *testing.F) {
	f.Fuzz(func(t *testing.T, input []byte) { rapid.MakeFuzz(everyItemGetsItsResult(t))(t, input) })
}

func TestGroup_EveryItemGetsExactlyOneTrueResult(t *testing.T) {
	t.Parallel()
	rapid.Check(t, everyItemGetsItsResult(t))
}

func everyItemGetsItsResult(t *testing.T) func(*rapid.T) {
	t.Helper()
	return func(rt *rapid.T) {
		limits := groupcommit.Limits{
			Set:     rapid.IntRange(1, 8).Draw(rt, "set"),
			Waiting: rapid.IntRange(1, 12).Draw(rt, "waiting"),
			AtOnce:  rapid.IntRange(1, 3).Draw(rt, "at once"),
		}
		next := 0
		visits := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) *visit {
			v := &visit{
				at:     time.Duration(rapid.IntRange(0, 40).Draw(rt, "at")) * 100 * time.Millisecond,
				leaves: time.Duration(rapid.IntRange(0, 30).Draw(rt, "leaves")) * 101 * time.Millisecond,
			}
			for range rapid.IntRange(1, 4).Draw(rt, "items") {
				next++
				v.items = append(v.items, rapid.SampledFrom([]int{next, next, next, next, -1, -2}).Draw(rt, "item"))
			}
			return v
		}), 1, 30).Draw(rt, "visits")
		closeAt := time.Duration(rapid.IntRange(10, 60).Draw(rt, "close at")) * 103 * time.Millisecond

		j := &journal{}
		synctest.Test(t, func(t *testing.T) { run(t, groupcommit.New(j.commit, limits), visits, closeAt) })
		if err := judge(j, limits, visits); err != nil {
			rt.Fatal(err)
		}
	}
}

// run makes the visits, closes the group in between, and returns when all have ended.
func run(t *testing.T, g *groupcommit.Group[int, int], visits []*visit, closeAt time.Duration) {
	t.Helper()
	done := make(chan struct{})
	for _, v := range visits {
		go func() {
			defer func() { done <- struct{}{} }()
			<-time.After(v.at)
			ctx := t.Context()
			if v.leaves > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, v.leaves)
				defer cancel()
			}
			v.results = g.DoAll(ctx, v.items)
		}()
	}
	<-time.After(closeAt)
	if err := g.Close(t.Context()); err != nil {
		t.Errorf("Close = %v", err)
	}
	for range visits {
		<-done
	}
}

// judge compares the results of callers with what was committed.
func judge(j *journal, limits groupcommit.Limits, visits []*visit) error {
	committed := map[int]int{}
	for _, n := range j.committed {
		committed[n]++
	}
	tried := map[int]bool{}
	for _, try := range j.tries {
		if len(try) > limits.Set {
			return fmt.Errorf("a set of %d items, want %d at the most", len(try), limits.Set)
		}
		for _, n := range try {
			tried[n] = true
		}
	}
	if j.mostTries > limits.AtOnce {
		return fmt.Errorf("%d sets at once, want %d at the most", j.mostTries, limits.AtOnce)
	}
	for _, v := range visits {
		for i, n := range v.items {
			if err := judgeItem(n, v.results[i], committed[n], tried[n]); err != nil {
				return fmt.Errorf("item %d, committed %d times, result %+v: %w", n, committed[n], v.results[i], err)
			}
		}
	}
	return nil
}

func judgeItem(n int, r groupcommit.Result[int], committed int, tried bool) error {
	refused := errors.Is(r.Err, groupcommit.ErrFull) || errors.Is(r.Err, groupcommit.ErrClosed)
	left := errors.Is(r.Err, context.DeadlineExceeded)
	_, panicked := errors.AsType[*groupcommit.PanicError](r.Err)
	switch {
	case n < 0 && (refused || left):
		return nil // Other items with the same number may have been tried.
	case n == -1 && errors.Is(r.Err, errPoison), n == -2 && panicked:
		return nil
	case n < 0:
		return errors.New("want the error of this item")
	case committed > 1:
		return errors.New("want it once")
	case refused && tried:
		return errors.New("it was refused and yet tried")
	case r.Err == nil && (committed != 1 || r.Value != 2*n):
		return errors.New("want it committed, and doubled")
	case r.Err != nil && !refused && !left:
		return errors.New("want no error")
	}
	return nil
}
