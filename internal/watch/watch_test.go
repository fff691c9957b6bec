package watch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

func TestWatch_SendsEveryRevisionOnceInOrder(t *testing.T) {
	t.Parallel()
	for _, page := range []int{1, 2, 3, 6, 7, 100} {
		t.Run(fmt.Sprintf("page of %d", page), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{Page: page})
				r.append(id, task.Queued, task.Submitting, task.Queued, task.Submitting, task.Running, task.Queued)
				s := r.watch(t, 0, nil)
				s.wantRevisions(t, span(1, 6)...)

				r.commit(id, task.Submitting)
				r.hub.Wake(id) // The same change twice: from the writer, and from LISTEN.
				s.wantRevisions(t, span(1, 7)...)
				r.commit(id, task.Running, task.Saving, task.Succeeded)
				s.wantRevisions(t, span(1, 10)...)
				s.wantEnd(t, nil)
			})
		})
	}
}

func TestWatch_ResumesFromAnyRevision(t *testing.T) {
	t.Parallel()
	states := []task.State{task.Queued, task.Submitting, task.Running, task.Saving, task.Succeeded}
	newest := int64(len(states))
	for after := int64(-1); after <= newest; after++ {
		for page := 1; page <= len(states)+1; page++ {
			t.Run(fmt.Sprintf("after %d with page %d", after, page), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := setup(t, watch.Config{Page: page})
					r.append(id, states...)
					s := r.watch(t, after, nil)
					s.wantRevisions(t, span(max(after, 0)+1, newest)...)
					s.wantEnd(t, nil) // At once, also where nothing was left to send.
				})
			})
		}
	}
}

func TestWatch_NothingFallsBetweenReadAndWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Sweep: time.Hour})
		r.append(id, task.Queued)
		r.beforeNextAnswer(func() { r.commit(id, task.Submitting) })
		s := r.watch(t, 0, nil)
		s.wantRevisions(t, 1, 2)

		r.beforeNextAnswer(func() { r.commit(id, task.Saving) })
		r.commit(id, task.Running)
		s.wantRevisions(t, 1, 2, 3, 4)
	})
}

func TestWatch_TerminalFollowedByRetryGoesOn(t *testing.T) {
	t.Parallel()
	for _, page := range []int{1, 2, 3, 100} { // With 2 the first page ends with FAILED, with 1 the second page does.
		t.Run(fmt.Sprintf("page of %d", page), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{Page: page})
				r.append(id, task.Queued, task.Submitting, task.Failed, task.Queued)
				whole, resumed := r.watch(t, 0, nil), r.watch(t, 3, nil)
				whole.wantRevisions(t, 1, 2, 3, 4)
				resumed.wantRevisions(t, 4)

				r.commit(id, task.Canceled, task.Queued)
				whole.wantRevisions(t, 1, 2, 3, 4, 5, 6)
				whole.wantOpen(t)
				resumed.wantOpen(t)

				r.commit(id, task.Canceled)
				whole.wantEnd(t, nil)
				resumed.wantRevisions(t, 4, 5, 6, 7)
				resumed.wantEnd(t, nil)
			})
		})
	}
}

func TestWatch_RetryWhileTheLastPageIsSentGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Page: 1})
		r.append(id, task.Queued, task.Failed)
		// The page is full, so the watcher must read again. Then the task is no longer terminal.
		s := r.watch(t, 0, func(u watch.Update) error {
			if u.Event != nil && u.Event.Revision == 2 {
				r.commit(id, task.Queued)
			}
			return nil
		})
		s.wantRevisions(t, 1, 2, 3)
		s.wantOpen(t)
	})
}

func TestWatch_ExpiredRevisionIsRefusedWithTheOldest(t *testing.T) {
	t.Parallel()
	states := []task.State{task.Queued, task.Submitting, task.Running, task.Saving, task.Succeeded}
	for after := range int64(5) {
		t.Run(fmt.Sprintf("after %d", after), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{})
				r.append(id, states...)
				r.removeBefore(id, 4)
				s := r.watch(t, after, nil)
				synctest.Wait()
				if after >= 3 { // All later revisions are there, though this one is not.
					s.wantRevisions(t, span(after+1, 5)...)
					s.wantEnd(t, nil)
					return
				}
				s.wantRevisions(t)
				wantExpired(t, s, 4)
			})
		})
	}
}

func TestWatch_RetentionThatOvertakesAWatcherIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		s := r.watch(t, 0, nil)
		s.wantRevisions(t, 1)
		r.append(id, task.Submitting, task.Running, task.Saving)
		r.removeBefore(id, 4)
		r.hub.Wake(id)
		s.wantRevisions(t, 1)
		wantExpired(t, s, 4)
	})
}

func wantExpired(t *testing.T, s *stream, oldest int64) {
	t.Helper()
	synctest.Wait()
	expired, ok := errors.AsType[*watch.ExpiredError](s.err)
	if !ok || expired.Oldest != oldest {
		t.Errorf("the watch ended with: %v; want an ExpiredError with oldest revision %d", s.err, oldest)
	}
}

func TestWatch_FutureRevisionIsRefused(t *testing.T) {
	t.Parallel()
	for _, after := range []int64{3, 4, 1000} {
		t.Run(fmt.Sprintf("after %d", after), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{})
				r.append(id, task.Queued, task.Canceled)
				s := r.watch(t, after, nil)
				s.wantEnd(t, watch.ErrFutureRevision)
				s.wantRevisions(t)
			})
		})
	}
}

func TestWatch_RevisionThatIsCommittedBetweenTwoReadsIsNotRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		r.beforeNextAnswer(func() { r.commit(id, task.Submitting) })
		s := r.watch(t, 2, nil)
		pass(time.Second)
		s.wantOpen(t)
		r.commit(id, task.Running)
		s.wantRevisions(t, 3)
	})
}

func TestWatch_UnknownTaskIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.watch(t, 0, nil).wantEnd(t, watch.ErrUnknownTask)
		r.watch(t, 7, nil).wantEnd(t, watch.ErrUnknownTask)
	})
}

func TestWatch_TaskThatIsRemovedBeforeItsOutputsAreReadIsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued, task.Succeeded)
		r.beforeNextAnswer(func() { r.removeTask(id) })
		r.watch(t, 0, nil).wantEnd(t, watch.ErrUnknownTask)
	})
}

func TestWatch_RemovedTaskEndsItsWatchesWithinACensus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		s := r.watch(t, 0, nil)
		s.wantRevisions(t, 1)
		r.removeTask(id)
		pass(time.Minute)
		s.wantEnd(t, watch.ErrUnknownTask)
	})
}

func TestWatch_GapIsNotPassedOn(t *testing.T) {
	t.Parallel()
	for _, after := range []int64{0, 1, 2} {
		t.Run(fmt.Sprintf("after %d", after), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{})
				r.append(id, task.Queued, task.Submitting, task.Running, task.Saving)
				r.remove(id, func(e task.Event) bool { return e.Revision == 3 })
				s := r.watch(t, after, nil)
				s.wantEnd(t, watch.ErrGap)
				s.wantRevisions(t)
			})
		})
	}
}

func TestWatch_SilentStreamCarriesBookmarks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued, task.Submitting)
		s := r.watch(t, 1, nil)
		pass(31 * time.Second)
		r.commit(id, task.Running) // It postpones the next bookmark.
		pass(16 * time.Second)
		r.hub.Wake(id) // It sends nothing, so it postpones nothing.
		pass(16 * time.Second)
		want := []bookmark{
			{At: 15 * time.Second, Revision: 2},
			{At: 30 * time.Second, Revision: 2},
			{At: 46 * time.Second, Revision: 3},
			{At: 61 * time.Second, Revision: 3},
		}
		if diff := cmp.Diff(want, s.bookmarks()); diff != "" {
			t.Errorf("bookmarks (-want +got):\n%s", diff)
		}
	})
}

func TestWatch_SendErrorEndsItAtOnce(t *testing.T) {
	t.Parallel()
	errGone := errors.New("the receiver is gone")
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued, task.Submitting)
		calls := 0
		onEvent := r.watch(t, 0, func(watch.Update) error { calls++; return errGone })
		onEvent.wantEnd(t, errGone)
		if calls != 1 {
			t.Errorf("send was called %d times after its error, want none", calls-1)
		}
		onBookmark := r.watch(t, 2, func(watch.Update) error { return errGone })
		pass(15 * time.Second)
		onBookmark.wantEnd(t, errGone)
	})
}

// TestWatchFrom_CallsWaits begins watches that have something to send, nothing yet, and nothing ever.
func TestWatchFrom_CallsWaits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		state task.State
		after int64
		want  int
	}{
		"something to send": {task.Running, 0, 0},
		"nothing yet":       {task.Running, 1, 1},
		"nothing ever":      {task.Failed, 1, 0},
		"refused":           {task.Running, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{})
				r.append(id, tc.state)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				waits, ended := 0, make(chan error, 1)
				go func() {
					ended <- r.hub.WatchFrom(ctx, id, tc.after, func() error { waits++; return nil }, func(watch.Update) error { return nil })
				}()
				synctest.Wait()
				cancel()
				<-ended
				if waits != tc.want {
					t.Errorf("waits was called %d times, want %d", waits, tc.want)
				}
			})
		})
	}
}
