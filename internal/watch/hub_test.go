package watch_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

func TestHub_LostNotificationCostsAtMostOneSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		a, b := r.watch(t, 0, nil), r.watch(t, 0, nil)
		pass(time.Second)
		r.append(id, task.Submitting) // Without a wake.
		a.wantRevisions(t, 1)
		pass(500 * time.Millisecond)
		a.wantRevisions(t, 1, 2)
		b.wantRevisions(t, 1, 2)
	})
}

func TestHub_LostNotificationCostsAtMostASecondThoughATransactionStaysOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		s := r.watch(t, 0, nil)
		pass(time.Second)
		r.hide(true)
		r.append("another", task.Queued) // An open transaction holds the frontier back.
		r.hide(false)
		r.append(id, task.Submitting) // Without a wake.
		pass(time.Second)
		s.wantRevisions(t, 1, 2)
		r.append(id, task.Running) // A sweep already waits for the frontier.
		pass(time.Second)
		s.wantRevisions(t, 1, 2, 3)
	})
}

func TestHub_ReadsNothingThatIsNotWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		pass(time.Second)
		for range 10 {
			r.append(id, task.Queued)
			pass(time.Second)
		}
		if n := r.pagesRead(); n != 0 {
			t.Errorf("%d pages of the log were read without a watcher", n)
		}
		s := r.follow(t, nil)
		r.append(id, task.Running)
		pass(time.Second)
		s.want(t, string(id)+"@11")
	})
}

func TestHub_WatchThatBeginsWhileEntriesAreSkippedGetsLaterOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		pass(time.Second)
		var watching *stream
		var following *tail
		r.beforeNextLast(func() {
			watching, following = r.watch(t, 0, nil), r.follow(t, nil)
			pass(time.Millisecond)
		})
		r.append(id, task.Queued)
		pass(time.Second)
		watching.wantRevisions(t, 1)
		following.want(t, string(id)+"@1")
		r.append(id, task.Running)
		pass(time.Second)
		watching.wantRevisions(t, 1, 2)
		following.want(t, string(id)+"@1", string(id)+"@2")
	})
}

func TestHub_WakeAllDeliversMissedEventsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Sweep: time.Hour})
		r.append(id, task.Queued)
		s := r.watch(t, 0, nil)
		s.wantRevisions(t, 1)
		r.append(id, task.Submitting)
		r.hub.WakeAll()
		pass(3 * time.Millisecond) // The minimum pause between sweeps.
		s.wantRevisions(t, 1, 2)
	})
}

func TestHub_SlowWatcherDoesNotDelayWakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Page: 2})
		r.append(id, task.Queued)
		free := make(chan struct{})
		slow := r.watch(t, 0, func(watch.Update) error { <-free; return nil })
		fast := r.watch(t, 0, nil)
		for revision := int64(2); revision <= 20; revision++ {
			r.commit(id, task.Running)
			r.hub.WakeAll()
			fast.wantRevisions(t, span(1, revision)...)
		}
		slow.wantRevisions(t)
		close(free)
		slow.wantRevisions(t, span(1, 20)...)
	})
}

func TestHub_WakeReachesOnlyTheTasksNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Sweep: time.Hour})
		streams := make(map[task.ID]*stream)
		for n := range 200 { // More than there are shards.
			id := task.ID(fmt.Sprintf("task %d", n))
			r.append(id, task.Queued)
			streams[id] = follow(t.Context(), r.hub, id, 0, nil)
		}
		synctest.Wait()
		before, _ := r.asked()
		r.append("task 3", task.Submitting)
		r.append("task 77", task.Submitting)
		r.hub.Wake("task 3", "task 77", "task without a watcher")
		streams["task 3"].wantRevisions(t, 1, 2)
		streams["task 77"].wantRevisions(t, 1, 2)
		if after, _ := r.asked(); after != before+2 {
			t.Errorf("%d pages were read, want 2", after-before)
		}
	})
}

func TestHub_IdleWatchersReadNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued, task.Submitting)
		s := r.watch(t, 0, nil)
		s.wantRevisions(t, 1, 2)
		before, _ := r.asked()
		pass(time.Hour)
		if after, _ := r.asked(); after != before {
			t.Errorf("an idle watcher read %d pages, want none", after-before)
		}
		s.wantOpen(t)
	})
}

func TestHub_CensusAsksForWatchedTasksInBoundedBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		pass(2 * time.Minute)
		if _, batches := r.asked(); len(batches) != 0 {
			t.Errorf("batches without watchers: %v, want none", batches)
		}
		var streams []*stream
		for n := range 1500 {
			id := task.ID(fmt.Sprintf("task %d", n))
			r.append(id, task.Queued)
			streams = append(streams, follow(t.Context(), r.hub, id, 0, nil), follow(t.Context(), r.hub, id, 0, nil))
		}
		pass(time.Minute)
		if _, batches := r.asked(); !cmp.Equal(batches, []int{1000, 500}) {
			t.Errorf("batches of one census over 1500 tasks with two watchers each: %v, want 1000 and 500", batches)
		}
		for _, s := range streams {
			s.cancel()
		}
		pass(10 * time.Minute)
		if _, batches := r.asked(); len(batches) != 2 {
			t.Errorf("watches that ended were asked for: %v", batches[2:])
		}
		for _, s := range streams {
			s.wantEnd(t, context.Canceled)
		}
	})
}

func TestHub_EachWatcherOfATaskLeavesAlone(t *testing.T) {
	t.Parallel()
	for _, leavers := range [][]int{{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {2, 1, 0}} {
		t.Run(fmt.Sprint(leavers), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{Sweep: time.Hour})
				r.append(id, task.Queued)
				var streams []*stream
				for range 3 {
					streams = append(streams, r.watch(t, 0, nil))
					synctest.Wait()
				}
				left := make(map[int]bool)
				for _, i := range leavers {
					left[i] = true
					streams[i].cancel()
					streams[i].wantEnd(t, context.Canceled)
				}
				r.commit(id, task.Submitting)
				for i, s := range streams {
					if left[i] {
						s.wantRevisions(t, 1)
					} else {
						s.wantRevisions(t, 1, 2)
					}
				}
			})
		})
	}
}

func TestHub_DrainEndsEveryWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued, task.Submitting)
		idle := r.watch(t, 0, nil)
		free := make(chan struct{})
		sending := r.watch(t, 0, func(watch.Update) error { <-free; return nil })
		idle.wantRevisions(t, 1, 2)
		r.setDown(true)
		failing := r.watch(t, 0, nil)
		failing.wantOpen(t)

		r.hub.Drain()
		idle.wantEnd(t, watch.ErrDraining)
		failing.wantEnd(t, watch.ErrDraining)
		sending.wantOpen(t)
		close(free)
		sending.wantEnd(t, watch.ErrDraining)
		sending.wantRevisions(t, 1) // The message that is being sent, and none after it.

		r.setDown(false)
		r.commit(id, task.Canceled)
		r.hub.Drain() // A second call is harmless.
		late := r.watch(t, 0, nil)
		late.wantEnd(t, watch.ErrDraining)
		late.wantRevisions(t)
		r.watch(t, 3, nil).wantEnd(t, watch.ErrDraining) // Though nothing is left to send.
	})
}

func TestWatch_EndOfContextEndsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		idle := r.watch(t, 0, nil)
		synctest.Wait()
		r.setDown(true)
		failing := r.watch(t, 0, nil)
		synctest.Wait()
		r.setHanging(true)
		hanging := r.watch(t, 0, nil)
		for _, s := range []*stream{idle, failing, hanging} {
			s.wantOpen(t)
			s.cancel()
			s.wantEnd(t, context.Canceled)
		}
	})
}

func TestWatch_ShortOutageIsInvisible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		old := r.watch(t, 0, nil)
		old.wantRevisions(t, 1)
		r.setDown(true)
		r.commit(id, task.Submitting)
		fresh := r.watch(t, 0, nil)
		pass(20 * time.Second)
		if got := old.bookmarks(); len(got) != 0 {
			t.Errorf("bookmarks during an outage: %v, want none", got)
		}
		r.setDown(false)
		pass(3 * time.Second) // One and a half times the longest delay.
		old.wantRevisions(t, 1, 2)
		fresh.wantRevisions(t, 1, 2)
		if reads, _ := r.asked(); reads > 50 {
			t.Errorf("%d reads by two watchers in an outage of 20 seconds, want a few", reads)
		}
	})
}

func TestWatch_ReadsThatFailForLongEndItWithTheError(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		begin func(*table, task.ID)
		want  error
	}{
		"failing": {(*table).setPoison, errOutage},
		"hanging": {(*table).setStuck, watch.ErrNotReading},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{})
				r.append(id, task.Queued)
				s := r.watch(t, 0, nil)
				s.wantRevisions(t, 1)
				tt.begin(r.table, id) // A deadline of the hub is reported as such on every kind of watch.
				r.commit(id, task.Submitting)
				pass(29 * time.Second)
				s.wantOpen(t)
				pass(10 * time.Second)
				s.wantEnd(t, tt.want)
				if !strings.Contains(s.err.Error(), string(id)) {
					t.Errorf("the error does not name the task: %v", s.err)
				}
				if got := s.bookmarks(); len(got) == 0 || got[0].At > 20*time.Second {
					t.Errorf("bookmarks while the log can be read: %v, want the first within 20 seconds", got)
				}
			})
		})
	}
}

func TestRun_LogsAnOutageOnceAndRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer // Read only while Run waits.
		r := setup(t, watch.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		r.append(id, task.Queued)
		s := r.watch(t, 0, nil)
		s.wantRevisions(t, 1)
		for outage := 1; outage <= 2; outage++ {
			r.setDown(true)
			pass(20 * time.Second)
			r.append(id, task.Running)
			r.setDown(false)
			pass(time.Second)
			s.wantRevisions(t, span(1, int64(1+outage))...)
			text := log.String()
			errs, infos := strings.Count(text, "level=ERROR"), strings.Count(text, "level=INFO")
			if errs != outage || infos != outage {
				t.Errorf("after outage %d the log has %d errors and %d recoveries, want one of each an outage:\n%s", outage, errs, infos, text)
			}
		}
	})
}

func TestRun_QueryThatHangsDoesNotEndTheSweeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		s := r.watch(t, 0, nil)
		s.wantRevisions(t, 1)
		r.setHanging(true)
		pass(time.Second)
		r.setHanging(false) // The query that began meanwhile still hangs.
		r.append(id, task.Submitting)
		pass(6 * time.Second)
		s.wantRevisions(t, 1, 2)
	})
}

func TestRun_TaskThatCannotBeReadDoesNotSpoilTheSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.poison = "not an id"
		r.append(id, task.Queued)
		s := r.watch(t, 0, nil)
		s.wantRevisions(t, 1)
		bad := follow(t.Context(), r.hub, r.poison, 0, nil)
		bad.wantOpen(t)
		r.append(id, task.Submitting)
		pass(time.Second)
		s.wantRevisions(t, 1, 2)
		bad.wantOpen(t) // It still retries, so it did so during the sweep.
	})
}
