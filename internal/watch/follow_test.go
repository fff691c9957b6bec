package watch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// tail is a call of Follow in a goroutine, and what it received.
type tail struct {
	cancel func()
	done   chan struct{}
	err    error // Valid once done is closed.

	mu      sync.Mutex
	entries []*task.Entry
	at      []task.Position // Of every message, bookmarks too.
}

func followLog(ctx context.Context, hub *watch.Hub, f watch.Following) *tail {
	ctx, cancel := context.WithCancel(ctx)
	s := &tail{cancel: cancel, done: make(chan struct{})}
	before := f.Send
	f.Send = func(e *task.Entry, p task.Position) error {
		if before != nil {
			if err := before(e, p); err != nil {
				return err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if e != nil {
			s.entries = append(s.entries, e)
		}
		s.at = append(s.at, p)
		return nil
	}
	go func() {
		defer close(s.done)
		defer cancel()
		s.err = hub.Follow(ctx, f)
	}()
	return s
}

// follow follows the tenant of the tests from a position, or from now where that is nil.
func (r room) follow(t *testing.T, after *task.Position) *tail {
	t.Helper()
	s := followLog(t.Context(), r.hub, watch.Following{Tenant: "films", After: after})
	synctest.Wait()
	return s
}

// got returns what was received, as task@revision.
func (s *tail) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []string
	for _, e := range s.entries {
		got = append(got, fmt.Sprintf("%s@%d", e.Task, e.Event.Revision))
	}
	return got
}

// positions returns the positions of all messages.
func (s *tail) positions() []task.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at)
}

// last returns the position to resume after.
func (s *tail) last() task.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.at) == 0 {
		return -1
	}
	return s.at[len(s.at)-1]
}

func (s *tail) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, s.got(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

func (s *tail) wantEnd(t *testing.T, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case <-s.done:
		if !errors.Is(s.err, want) {
			t.Errorf("the stream ended with: %v; want %v", s.err, want)
		}
	default:
		t.Errorf("the stream is still open; want its end with: %v", want)
	}
}

// sweep waits for a sweep that was requested.
func sweep() { pass(5 * time.Millisecond) }

func TestFollow_BeginsNowWithABookmarkAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		synctest.Wait()
		r.append("a", task.Queued)
		sweep()
		pass(time.Second)
		s := r.follow(t, nil)
		s.want(t)
		if s.last() != 1 {
			t.Errorf("the first bookmark is at %d, want 1", s.last())
		}
		r.commit("a", task.Submitting)
		r.commit("b", task.Queued)
		sweep()
		s.want(t, "a@2", "b@1")
		r.append("b", task.Submitting) // Without a wake.
		pass(500 * time.Millisecond)
		s.want(t, "a@2", "b@1", "b@2")
	})
}

func TestFollow_SkipsNothingThatIsNotYetCommitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		synctest.Wait()
		s := r.follow(t, new(task.Position))
		r.hide(true)
		r.append("early", task.Queued)
		r.hide(false)
		r.commit("late", task.Queued)
		pass(time.Minute)
		s.want(t)
		resumed := r.follow(t, new(s.last())) // From a bookmark that was sent meanwhile.
		r.show()
		pass(time.Second)
		s.want(t, "early@1", "late@1")
		resumed.want(t, "early@1", "late@1")
	})
}

func TestFollow_ResumesFromEveryPosition(t *testing.T) {
	t.Parallel()
	for after := range task.Position(7) {
		for page := 1; page <= 4; page++ {
			t.Run(fmt.Sprintf("after %d with page %d", after, page), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := setup(t, watch.Config{Page: page})
					all := []string{"a@1", "b@1", "a@2", "c@1", "b@2", "a@3"}
					for _, id := range []task.ID{"a", "b", "a", "c"} {
						r.append(id, task.Running)
					}
					pass(time.Second) // The process begins to read here. A sweep finds the rest.
					r.append("b", task.Running)
					r.append("a", task.Running)
					s := r.follow(t, &after)
					pass(time.Second)
					s.want(t, all[after:]...)
					if s.last() != 6 {
						t.Errorf("the newest position is %d, want 6", s.last())
					}
				})
			})
		}
	}
}

func TestFollow_TenantsSeeTheirOwnAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append("ads/x", task.Queued)
		r.append("a", task.Queued)
		pass(time.Second)
		mine := r.follow(t, new(task.Position))
		theirs := followLog(t.Context(), r.hub, watch.Following{Tenant: "ads", After: new(task.Position)})
		r.commit("ads/x", task.Canceled)
		r.commit("a", task.Submitting)
		sweep()
		mine.want(t, "a@1", "a@2")
		theirs.want(t, "ads/x@1", "ads/x@2")
	})
}

func TestFollow_BookmarksGoOnWithTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		synctest.Wait()
		s := r.follow(t, nil)
		for n := range 40 {
			r.commit("ads/x", task.Running)
			pass(time.Second)
			if want := task.Position(n+1) / 15 * 15; s.last() > task.Position(n+1) || s.last() < want {
				t.Fatalf("after %d seconds the newest bookmark is at %d, want at least %d", n+1, s.last(), want)
			}
		}
		r.forget(20) // Of the other tenant.
		if got := s.got(); len(got) != 0 {
			t.Errorf("received %v of another tenant", got)
		}
	})
}

func TestFollow_SendsWhatMatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Page: 2})
		r.label("a", map[string]string{"film": "7"})
		r.append("a", task.Queued, task.Failed)
		r.append("b", task.Queued, task.Failed)
		pass(time.Second)
		s := followLog(t.Context(), r.hub, watch.Following{
			Tenant: "films", After: new(task.Position),
			Match: func(e *task.Entry) bool { return e.Labels["film"] == "7" && e.Event.State == task.Failed },
		})
		s.want(t, "a@2")
		r.commit("b", task.Queued, task.Failed)
		r.commit("a", task.Queued, task.Failed)
		sweep()
		s.want(t, "a@2", "a@4")
		pass(15 * time.Second)
		if s.last() != r.end() {
			t.Errorf("the newest bookmark is at %d, want %d", s.last(), r.end())
		}
	})
}

func TestFollow_RemovedEntriesAreReported(t *testing.T) {
	t.Parallel()
	for after := range task.Position(5) {
		t.Run(fmt.Sprintf("after %d", after), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{})
				r.append("a", task.Queued, task.Canceled)
				r.append("ads/x", task.Queued)
				r.append("b", task.Queued)
				r.forget(3)
				pass(time.Second)
				s := r.follow(t, &after)
				if after >= 2 {
					s.want(t, []string{"b@1"}[:min(1, 4-after)]...)
					return
				}
				synctest.Wait()
				removed, ok := errors.AsType[*watch.RemovedError](s.err)
				if !ok || removed.Oldest != 2 {
					t.Fatalf("the stream ended with: %v; want a RemovedError with oldest position 2", s.err)
				}
				s.want(t)
				again := r.follow(t, &removed.Oldest)
				again.want(t, "b@1")
			})
		})
	}
}

func TestFollow_EntriesRemovedDuringAnOutageAreReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append("a", task.Queued)
		pass(time.Second)
		s := r.follow(t, nil)
		r.setDown(true)
		pass(time.Second)
		r.append("b", task.Queued, task.Canceled)
		r.append("c", task.Queued)
		r.forget(3)
		r.setDown(false)
		pass(time.Second)
		s.want(t)
		if _, removed := errors.AsType[*watch.RemovedError](s.err); !removed {
			t.Errorf("the stream ended with: %v; want a RemovedError", s.err)
		}
	})
}

func TestFollow_ProcessThatStartsBehindTheFrontierReportsRemovedEntries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := newTable()
		events.append("a", task.Queued, task.Canceled)
		events.hide(true)
		events.append("ads/x", task.Queued)
		events.hide(false)
		events.append("b", task.Queued, task.Canceled)
		events.forget(5)
		r := over(t, events, watch.Config{})
		pass(time.Second)
		s := r.follow(t, new(task.Position))
		pass(time.Second)
		events.show()
		pass(time.Second)
		s.want(t)
		if removed, ok := errors.AsType[*watch.RemovedError](s.err); !ok || removed.Oldest != 5 {
			t.Errorf("the stream ended with: %v; want a RemovedError with oldest position 5", s.err)
		}
	})
}

func TestFollow_SlowFollowerReadsTheTableAndDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Page: 10})
		synctest.Wait()
		free := make(chan struct{})
		slow := followLog(t.Context(), r.hub, watch.Following{Tenant: "films", Send: func(e *task.Entry, _ task.Position) error {
			if e != nil {
				<-free
			}
			return nil
		}})
		fast := r.follow(t, nil)
		var all []string
		for n := range 1000 { // More than are held in memory.
			r.commit("a", task.Running)
			all = append(all, fmt.Sprintf("a@%d", n+1))
			if n%100 == 99 {
				sweep()
				fast.want(t, all...)
			}
		}
		if n := r.tableReads(); n != 0 {
			t.Errorf("the table was read %d times while all were in step, want never", n)
		}
		slow.want(t)
		close(free)
		slow.want(t, all...)
		if n := r.tableReads(); n == 0 || n > 100 {
			t.Errorf("the slow one read the table %d times, want up to 100", n)
		}
	})
}

func TestFollow_LongReadOfTheTableCarriesBookmarks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Page: 1, Bookmark: 14 * time.Second})
		r.append("a", task.Queued, task.Submitting, task.Running, task.Saving, task.Succeeded, task.Succeeded)
		sweep()
		r.setSlow(4 * time.Second)
		last := time.Now()
		s := followLog(t.Context(), r.hub, watch.Following{
			Tenant: "films", After: new(task.Position),
			Match: func(e *task.Entry) bool { return e.Event.Revision == 6 },
			Send: func(*task.Entry, task.Position) error {
				if silent := time.Since(last); silent > 15*time.Second {
					t.Errorf("the stream was silent for %v", silent)
				}
				last = time.Now()
				return nil
			},
		})
		pass(20 * time.Second)
		if got := s.last(); got != 3 {
			t.Errorf("a bookmark after 14 seconds resumes after position %d, want 3", got)
		}
		pass(time.Minute)
		s.want(t, "a@6")
	})
}

func TestFollow_DrainEndsItAndAnotherReplicaGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		other := over(t, r.table, watch.Config{Sweep: time.Hour})
		pass(time.Second)
		s := r.follow(t, nil)
		r.commit("a", task.Queued, task.Submitting)
		sweep()
		s.want(t, "a@1", "a@2")
		r.hub.Drain()
		s.wantEnd(t, watch.ErrDraining)
		r.follow(t, nil).wantEnd(t, watch.ErrDraining)

		// The other replica has not read that far. It must not send earlier entries again.
		resumed := other.follow(t, new(s.last()))
		resumed.want(t)
		r.append("a", task.Running)
		other.hub.Wake("a")
		sweep()
		resumed.want(t, "a@3")
	})
}

func TestFollow_PositionBeyondTheLogIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append("a", task.Queued)
		pass(time.Second)
		s := r.follow(t, new(task.Position(2)))
		s.want(t)
		s.wantEnd(t, watch.ErrFuturePosition)
	})
}

func TestFollow_LogThatShrinksEndsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append("a", task.Queued, task.Submitting)
		pass(time.Second)
		s := r.follow(t, nil)
		r.restore(1)
		pass(time.Second)
		s.wantEnd(t, watch.ErrFuturePosition)
		again := r.follow(t, nil)
		r.append("b", task.Queued)
		pass(time.Second)
		again.want(t, "b@1")
	})
}

func TestFollow_ShortOutageIsInvisibleAndLongOneIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append("a", task.Queued)
		pass(time.Second)
		inStep := r.follow(t, nil)
		r.setDown(true)
		behind := r.follow(t, new(task.Position))
		pass(20 * time.Second)
		r.append("a", task.Running)
		r.setDown(false)
		pass(3 * time.Second)
		inStep.want(t, "a@2")
		behind.want(t, "a@1", "a@2")

		r.setDown(true)
		late := r.follow(t, new(task.Position))
		pass(40 * time.Second)
		late.wantEnd(t, errOutage)
		inStep.want(t, "a@2")
	})
}

func TestFollow_ProcessThatNeverReadTheLogReportsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := newTable()
		events.setDown(true)
		r := over(t, events, watch.Config{})
		s := r.follow(t, nil)
		pass(30 * time.Second)
		s.wantEnd(t, watch.ErrNotReading)
		events.setDown(false)
		pass(time.Second)
		events.append("a", task.Queued)
		soon := r.follow(t, nil)
		pass(time.Second)
		soon.want(t, "a@1")
	})
}

func TestHub_ReadsOfWatchersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Reads: 3})
		r.append(id, task.Queued)
		r.setStuck(id)
		var streams []*stream
		for range 20 {
			streams = append(streams, r.watch(t, 0, nil))
		}
		synctest.Wait()
		if reads, _ := r.asked(); reads != 3 {
			t.Errorf("%d reads at once, want 3", reads)
		}
		// A watch that waits for its read carries bookmarks, and can be canceled.
		pass(16 * time.Second)
		if n := len(streams[19].bookmarks()); n != 1 {
			t.Errorf("%d bookmarks while waiting, want 1", n)
		}
		streams[19].cancel()
		streams[19].wantEnd(t, context.Canceled)
		r.setPoison("")
		pass(10 * time.Second)
		for _, s := range streams[:19] {
			s.wantRevisions(t, 1)
		}
	})
}

// tailer is a client that began after a token, and resumes after the newest one it got.
type tailer struct {
	start, newest task.Position
	received      []string
	stream        *tail
}

func TestFollow_EveryEntryOnceInOrderWhateverIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, checkFollowing) })
}

func checkFollowing(t *rapid.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var sweeps sync.WaitGroup
	defer func() { cancel(); sweeps.Wait(); synctest.Wait() }()
	events := newTable()
	hub := watch.NewHub(events, watch.Config{Page: rapid.IntRange(1, 4).Draw(t, "page"), Logger: slog.New(slog.DiscardHandler)})
	sweeps.Go(func() { _ = hub.Run(ctx) })
	synctest.Wait()

	tokens := []task.Position{0}
	var tailers []*tailer
	follow := func(after task.Position) *tail {
		return followLog(ctx, hub, watch.Following{Tenant: "films", After: &after})
	}
	join := func(t *rapid.T) {
		at := rapid.SampledFrom(tokens).Draw(t, "token")
		tailers = append(tailers, &tailer{start: at, newest: at, stream: follow(at)})
	}
	settle := func(s *tailer) {
		s.stream.cancel()
		<-s.stream.done
		s.received = append(s.received, s.stream.got()...)
		tokens = append(tokens, s.stream.at...)
		s.newest = max(s.newest, s.stream.last())
	}
	ids := rapid.SampledFrom([]task.ID{"a", "b", "ads/x"})
	join(t)
	t.Repeat(map[string]func(*rapid.T){
		"commit":         func(t *rapid.T) { id := ids.Draw(t, "id"); events.append(id, task.Running); hub.Wake(id) },
		"commit unheard": func(t *rapid.T) { events.append(ids.Draw(t, "id"), task.Running) },
		"begin": func(t *rapid.T) {
			events.hide(true)
			events.append(ids.Draw(t, "id"), task.Running)
			events.hide(false)
		},
		"commit begun":  func(*rapid.T) { events.show() },
		"wake all":      func(*rapid.T) { hub.WakeAll() },
		"outage":        func(*rapid.T) { events.setDown(true) },
		"end of outage": func(*rapid.T) { events.setDown(false) },
		"reconnect": func(t *rapid.T) {
			s := rapid.SampledFrom(tailers).Draw(t, "tailer")
			settle(s)
			s.stream = follow(s.newest)
		},
		"another":   join,
		"pass time": func(t *rapid.T) { pass(time.Duration(rapid.IntRange(1, 9000).Draw(t, "ms")) * time.Millisecond) },
	})
	events.setDown(false)
	events.show()
	pass(time.Second)           // A log that was lost refuses streams until a sweep has read it.
	for _, s := range tailers { // Some ended during an outage.
		settle(s)
		s.stream = follow(s.newest)
	}
	pass(5 * time.Second)
	for _, s := range tailers {
		settle(s)
		var want []string
		for _, e := range events.log.page(s.start, events.end(), 1<<30, func(e task.Entry) bool { return e.Tenant == "films" }) {
			want = append(want, fmt.Sprintf("%s@%d", e.Task, e.Event.Revision))
		}
		if diff := cmp.Diff(want, s.received); diff != "" {
			t.Fatalf("after position %d was received (-want +got):\n%s", s.start, diff)
		}
	}
}
