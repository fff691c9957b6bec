package watch_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// outages are the ways in which a database fails.
var outages = map[string]func(*table, bool){"failing": (*table).setDown, "hanging": (*table).setHanging}

func TestBookmarks_NoneWithoutAConfirmationOfTheLog(t *testing.T) {
	t.Parallel()
	for name, set := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{Bookmark: 14 * time.Second})
				r.append(id, task.Queued)
				pass(time.Second)
				began := time.Now()
				watching, following := r.watch(t, 1, nil), r.follow(t, nil)
				pass(5 * time.Second)
				set(r.table, true)
				pass(24 * time.Second) // Longer than two bookmark intervals, and less than the bound.
				// The log was read for 5 seconds after the streams had begun, so one bookmark is true.
				if got := watching.bookmarks(); len(got) != 1 {
					t.Errorf("a watch has bookmarks %v, want one", got)
				}
				if got := following.positions(); len(got) != 2 {
					t.Errorf("a follower has %d bookmarks, want the first one and another", len(got))
				}
				set(r.table, false)
				pass(6 * time.Second) // A read that hangs ends after five.
				end := time.Since(began)
				if got := watching.bookmarks(); len(got) != 2 || got[1].At < 29*time.Second || got[1].At > end {
					t.Errorf("after the outage a watch has bookmarks %v, want one more once the log is read again", got)
				}
				if got := following.positions(); len(got) != 3 {
					t.Errorf("after the outage a follower has %d bookmarks, want one more", len(got))
				}
			})
		})
	}
}

func TestFollow_FirstBookmarkWaitsForALogThatCanBeRead(t *testing.T) {
	t.Parallel()
	for name, set := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{})
				r.append(id, task.Queued)
				pass(time.Second)
				set(r.table, true)
				pass(10 * time.Second)
				s := r.follow(t, nil)
				pass(10 * time.Second)
				if got := s.positions(); len(got) != 0 {
					t.Errorf("bookmarks %v during an outage, want none", got)
				}
				set(r.table, false)
				pass(6 * time.Second)
				if got := s.positions(); !cmp.Equal(got, []task.Position{1}) {
					t.Errorf("bookmarks %v after the outage, want one at 1", got)
				}
			})
		})
	}
}

func TestHub_LostLogEndsAllStreamsUntilItIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, set := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var readable []bool
				var ended int // How many streams had ended when Readable was called.
				var count func() int
				r := setup(t, watch.Config{Bookmark: 14 * time.Second, Readable: func(is bool) {
					readable, ended = append(readable, is), count()
				}})
				r.append(id, task.Queued)
				pass(time.Second)
				free := make(chan struct{})
				idle, slow := r.watch(t, 1, nil), r.watch(t, 0, func(watch.Update) error { <-free; return nil })
				following := r.follow(t, nil)
				began := time.Now()
				set(r.table, true)
				pass(20 * time.Second)
				late, lateTail := r.watch(t, 0, nil), r.follow(t, nil)
				streams, tails := []*stream{idle, slow, late}, []*tail{following, lateTail}
				count = func() (n int) {
					for _, s := range streams {
						n += closed(s.done)
					}
					for _, s := range tails {
						n += closed(s.done)
					}
					return n
				}
				pass(29*time.Second - time.Since(began))
				if n := count(); n != 0 {
					t.Fatalf("%d streams ended before the bound", n)
				}
				pass(time.Second + 200*time.Millisecond)
				for _, s := range []*stream{idle, late} {
					s.wantEnd(t, watch.ErrNotReading)
				}
				for _, s := range tails {
					s.wantEnd(t, watch.ErrNotReading)
				}
				slow.wantOpen(t) // A message that is being sent is not interrupted.
				close(free)
				slow.wantEnd(t, watch.ErrNotReading)
				if !slices.Equal(readable, []bool{false}) || ended != 0 {
					t.Errorf("Readable was called with %v after %d streams had ended, want false before any", readable, ended)
				}
				for range 3 { // Also long after the bound, new streams end at once.
					r.watch(t, 1, nil).wantEnd(t, watch.ErrNotReading)
					r.follow(t, nil).wantEnd(t, watch.ErrNotReading)
					if err := r.hub.Read(t.Context(), func() error { return nil }); !errors.Is(err, watch.ErrNotReading) {
						t.Errorf("Read returned %v, want ErrNotReading", err)
					}
					pass(time.Minute)
				}

				r.append(id, task.Submitting)
				set(r.table, false)
				pass(6 * time.Second)
				if !slices.Equal(readable, []bool{false, true}) {
					t.Errorf("Readable was called with %v, want false and true", readable)
				}
				resumed, resumedTail := r.watch(t, 1, nil), r.follow(t, new(following.last()))
				resumed.wantRevisions(t, 2)
				pass(time.Second)
				resumedTail.want(t, string(id)+"@2")
				pass(time.Minute)
				resumed.wantOpen(t)
				if got := resumed.bookmarks(); len(got) < 4 {
					t.Errorf("%d bookmarks within a minute after the outage, want 4", len(got))
				}
			})
		})
	}
}

// closed returns 1 when a channel is closed, and 0 otherwise.
func closed(done <-chan struct{}) int {
	select {
	case <-done:
		return 1
	default:
		return 0
	}
}

func TestHub_SlowLogIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Bookmark: 14 * time.Second, Readable: func(is bool) { t.Errorf("readable: %v, want silence", is) }})
		r.append(id, task.Queued)
		s, tail := r.watch(t, 0, nil), r.follow(t, nil)
		pass(time.Second)
		r.setSlow(4900 * time.Millisecond)
		for range 20 {
			r.append(id, task.Running)
			pass(10 * time.Second)
		}
		s.wantOpen(t)
		if got := s.revisions(); len(got) < 18 {
			t.Errorf("received %d revisions, want all but the last few of 21", len(got))
		}
		if got := tail.got(); len(got) < 18 {
			t.Errorf("a follower received %d entries, want all but the last few of 20", len(got))
		}
		r.setSlow(0)
		pass(10 * time.Second)
	})
}

func TestHub_LongOutageIsLoggedOncePerChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer // Read only while Run waits.
		r := setup(t, watch.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		pass(time.Second)
		r.setDown(true)
		pass(time.Hour)
		r.setDown(false)
		pass(time.Second)
		var got []string
		for line := range strings.Lines(log.String()) {
			got = append(got, fmt.Sprint(strings.Contains(line, "level=ERROR"), strings.Contains(line, errOutage.Error())))
		}
		if want := []string{"true true", "true true", "false false"}; !cmp.Equal(got, want) {
			t.Errorf("an hour without the database left these lines, want its beginning, the end of the watches, and its end:\n%s", log.String())
		}
	})
}
