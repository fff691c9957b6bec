package watch_test

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

func TestBookmarks_ReceiversThatDoNotReadDelayNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Bookmark: 14 * time.Second})
		r.append(id, task.Queued)
		free := make(chan struct{})
		block := func(watch.Update) error { <-free; return nil }
		var stuck, others []*stream
		for range 1000 {
			stuck = append(stuck, r.watch(t, 1, block))
		}
		synctest.Wait() // These streams are due first.
		for range 100 {
			others = append(others, r.watch(t, 1, nil))
		}
		for range 4 {
			pass(15 * time.Second)
		}
		for _, s := range others {
			last := time.Duration(0)
			for _, mark := range append(s.bookmarks(), bookmark{At: time.Minute}) {
				if mark.At-last > 15*time.Second {
					t.Fatalf("no bookmark between %v and %v", last, mark.At)
				}
				last = mark.At
			}
		}
		close(free)
		pass(15 * time.Second)
		for _, s := range stuck {
			if len(s.bookmarks()) < 2 {
				t.Fatalf("a receiver that reads again has bookmarks %v", s.bookmarks())
			}
		}
	})
}

func TestBookmarks_OneGoroutineSendsThoseOfReceiversThatRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		var sending, sent atomic.Int32
		for range 100 {
			r.watch(t, 1, func(watch.Update) error {
				if n := sending.Add(1); n > 1 {
					t.Errorf("%d bookmarks are sent at the same time, want one after the other", n)
				}
				<-time.After(time.Millisecond)
				sending.Add(-1)
				sent.Add(1)
				return nil
			})
		}
		pass(16 * time.Second)
		if got := sent.Load(); got != 100 {
			t.Errorf("%d bookmarks were sent, want 100", got)
		}
	})
}

func TestBookmarks_ManyStreamsThatReadAreNotSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{Bookmark: 14 * time.Second})
		r.append(id, task.Queued)
		var crowd []*stream
		for n := range 80 {
			last := time.Now()
			crowd = append(crowd, r.watch(t, 1, func(u watch.Update) error {
				if silent := time.Since(last); silent > 15*time.Second {
					t.Errorf("stream %d was silent for %v", n, silent)
				}
				if u.Event != nil && len(u.Outputs) != 1 {
					t.Errorf("revision %d has %d outputs, want 1", u.Event.Revision, len(u.Outputs))
				}
				last = time.Now()
				return nil
			}))
		}
		pass(12900 * time.Millisecond)
		r.setSlow(2400 * time.Millisecond) // First the events, then the outputs.
		r.commit(id, task.Succeeded)
		pass(time.Minute)
		most := 0
		for _, s := range crowd {
			s.wantRevisions(t, 2)
			s.wantEnd(t, nil)
			most = max(most, len(s.bookmarks()))
		}
		if most < 3 {
			t.Errorf("%d bookmarks on the stream that was read for last, want 3: its read had to wait for long", most)
		}
	})
}

func TestBookmarks_ReceiverThatDoesNotReadHoldsNoReadSlot(t *testing.T) {
	t.Parallel()
	r := setup(t, watch.Config{Bookmark: 10 * time.Millisecond, Reads: 1})
	r.append(id, task.Queued)
	sending, free := make(chan struct{}), make(chan struct{})
	r.beforeNextAnswer(func() { // It holds the only slot until its receiver blocks on a bookmark.
		select {
		case <-sending:
		case <-time.After(hung):
			t.Error("no bookmark was sent while the stream reads")
		}
	})
	block := sync.OnceFunc(func() { close(sending); <-free })
	stuck := r.watch(t, 1, func(watch.Update) error { block(); return nil })
	<-sending
	arrived := make(chan struct{})
	arrive := sync.OnceFunc(func() { close(arrived) })
	other := r.watch(t, 0, func(u watch.Update) error {
		if u.Event != nil {
			arrive()
		}
		return nil
	})
	select {
	case <-arrived:
	case <-time.After(hung):
		t.Error("a stream cannot read while another receiver does not read")
	}
	close(free)
	for _, s := range []*stream{stuck, other} {
		s.cancel()
		<-s.done
	}
}

func TestBookmarks_StreamThatIsSendingCarriesNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		var sending atomic.Bool
		s := r.watch(t, 0, func(u watch.Update) error {
			if sending.Load() {
				t.Errorf("%+v is sent at the same time as another message", u)
			}
			if u.Event != nil {
				sending.Store(true)
				defer sending.Store(false)
				<-time.After(40 * time.Second)
			}
			return nil
		})
		pass(time.Minute)
		want := []bookmark{{At: 55 * time.Second, Revision: 1}}
		if diff := cmp.Diff(want, s.bookmarks()); diff != "" {
			t.Errorf("bookmarks (-want +got):\n%s", diff)
		}
	})
}

func TestWatch_NothingIsSentAfterTheEnd(t *testing.T) {
	t.Parallel()
	errGone := errors.New("the receiver is gone")
	for name, tt := range map[string]struct {
		end   func(r room, s *stream)
		fails error // What sending the bookmark returns.
	}{
		"terminal":            {end: func(r room, _ *stream) { r.commit(id, task.Succeeded) }},
		"drain":               {end: func(r room, _ *stream) { r.hub.Drain() }},
		"caller":              {end: func(_ room, s *stream) { s.cancel() }},
		"failure":             {end: func(room, *stream) {}, fails: errGone},
		"failure, then event": {end: func(r room, _ *stream) { r.commit(id, task.Running) }, fails: errGone},
		"failure and drain":   {end: func(r room, _ *stream) { r.hub.Drain() }, fails: errGone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := setup(t, watch.Config{})
				r.append(id, task.Queued)
				sending, free := make(chan struct{}), make(chan struct{})
				s := r.watch(t, 1, receiver(t, sending, free, tt.fails))
				<-sending // No time may pass from here on: a watch that waits for its lock stops the clock.
				tt.end(r, s)
				for range 100 {
					runtime.Gosched()
				}
				select {
				case <-s.done:
					t.Error("the watch ended while a bookmark was being sent")
				default:
				}
				close(free)
				<-s.done
				held := weak.Make(s)
				pass(time.Minute) // The receiver notices when something is sent.
				if runtime.GC(); held.Value() != nil {
					t.Error("a watch that ended is still held in memory")
				}
			})
		})
	}
}

func TestBookmarks_WatchThatEndsWhenItIsDueIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		free := make(chan struct{})
		r.watch(t, 1, func(watch.Update) error { <-free; return nil })
		synctest.Wait()
		queued := r.watch(t, 1, nil) // Behind the other one.
		pass(15 * time.Second)
		queued.cancel()
		<-queued.done
		held := weak.Make(queued)
		close(free)
		pass(time.Minute)
		if runtime.GC(); held.Value() != nil {
			t.Error("the watch that ended is still held in memory")
		}
	})
}

// receiver returns a send function that blocks in a bookmark until free is signaled. It fails the test when two
// messages are sent at the same time, or one after a failure or after the end.
func receiver(t *testing.T, sending, free chan struct{}, fails error) func(watch.Update) error {
	t.Helper()
	var busy sync.Mutex
	bookmarks := 0
	return func(u watch.Update) error {
		if !busy.TryLock() {
			t.Error("two messages are sent at the same time")
			return nil
		}
		defer busy.Unlock()
		if bookmarks > 0 && (fails != nil || u.Event == nil) {
			t.Errorf("%+v is sent after the end", u)
		}
		if u.Event == nil {
			bookmarks++
			close(sending)
			<-free
		}
		return fails
	}
}

func TestWatch_ManyComeAndGoBetweenBookmarks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t, watch.Config{})
		r.append(id, task.Queued)
		var all []*stream
		for n := range 300 {
			all = append(all, r.watch(t, 1, nil))
			pass(time.Duration(n%7) * 10 * time.Millisecond)
			if n%3 == 0 {
				all[n/3].cancel()
			}
		}
		pass(30 * time.Second)
		for n, s := range all {
			want := 2
			if n < 100 {
				want = 0
			}
			if got := len(s.bookmarks()); got < want || want == 0 && got > 0 {
				t.Errorf("watch %d has %d bookmarks, want %d", n, got, want)
			}
		}
	})
}
