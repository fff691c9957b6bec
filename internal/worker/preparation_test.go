package worker

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/source"
)

// waiting is a preparation for which tasks wait, in an order that changes with each look.
type waiting struct {
	Preparations
	tasks []source.Waiter
}

func (w *waiting) PreparationWaiters(context.Context, source.PreparationID, int) ([]source.Waiter, int64, error) {
	slices.Reverse(w.tasks)
	return slices.Clone(w.tasks), 1, nil
}

func (w *waiting) EndPreparation(context.Context, source.PreparationID, int64) (bool, error) {
	return len(w.tasks) == 0, nil
}

func TestTell_RestsWhileTheSameTasksAreBeingChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const change = time.Second // How long somebody changes two of three tasks.
		w := &waiting{tasks: []source.Waiter{{Task: "a"}, {Task: "b"}, {Task: "c"}}}
		p := &Preparer{Workers: &Workers{preparations: w}}
		start, rounds := time.Now(), 0
		err := p.tell(t.Context(), source.Claimed{}, func(context.Context, []source.Waiter) error {
			rounds++
			w.tasks = slices.DeleteFunc(w.tasks, func(w source.Waiter) bool {
				return w.Task == "a" || time.Since(start) >= change
			})
			if rounds > 100 {
				t.Fatal("it does not rest")
			}
			return nil
		})
		if took := time.Since(start); err != nil || took != change {
			t.Errorf("told after %s and %d rounds, %v, want as soon as they can be told", took, rounds, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.tasks = []source.Waiter{{Task: "a"}}
		if err := p.tell(ctx, source.Claimed{}, func(context.Context, []source.Waiter) error { return nil }); err == nil {
			t.Error("it goes on when it is stopped")
		}
	})
}
