package watch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

func TestHub_WritersAndWatchersDoNotRace(t *testing.T) {
	t.Parallel()
	const tasks, watchers, commits = 8, 4, 200
	ctx := t.Context()
	events := newTable()
	hub := watch.NewHub(events, watch.Config{Page: 3, Sweep: 5 * time.Millisecond, Bookmark: 2 * time.Millisecond})
	sweeping, stop := context.WithCancel(ctx)
	var run, work sync.WaitGroup
	run.Go(func() {
		if err := hub.Run(sweeping); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	for n := range tasks {
		id := task.ID(fmt.Sprintf("task %d", n))
		events.append(id, task.Queued)
		work.Go(func() { write(events, hub, id, commits) })
		for range watchers {
			work.Go(func() {
				got, err := resume(ctx, hub, id)
				if diff := cmp.Diff(span(1, commits+2), got); diff != "" || err != nil {
					t.Errorf("%s: %v; revisions (-want +got):\n%s", id, err, diff)
				}
			})
		}
	}
	work.Wait()
	hub.Drain()
	stop()
	run.Wait()
}

// write commits to one task, and omits some of the wakes.
func write(events *table, hub *watch.Hub, id task.ID, commits int) {
	for n := range commits {
		events.append(id, task.Running)
		switch n % 7 {
		case 0, 1:
		case 2:
			hub.WakeAll()
		default:
			hub.Wake(id)
		}
	}
	events.append(id, task.Succeeded)
}

// resume watches a task to its end, and is cut off after every tenth event.
func resume(ctx context.Context, hub *watch.Hub, id task.ID) ([]int64, error) {
	errCut := errors.New("cut off")
	var got []int64
	for {
		err := hub.Watch(ctx, id, int64(len(got)), func(u watch.Update) error {
			if u.Event == nil {
				return nil
			}
			got = append(got, u.Event.Revision)
			if len(got)%10 == 0 {
				return errCut
			}
			return nil
		})
		if !errors.Is(err, errCut) {
			return got, err
		}
	}
}
