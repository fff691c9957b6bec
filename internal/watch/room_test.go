package watch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

const id task.ID = "0192f0c4-6d1e-7a53-8f0e-000000000001"

// room is a hub that sweeps, over its table, in a synctest bubble.
type room struct {
	*table
	hub *watch.Hub
}

func setup(t *testing.T, cfg watch.Config) room {
	t.Helper()
	return over(t, newTable(), cfg)
}

// over returns a hub over a table that other hubs may share.
func over(t *testing.T, events *table, cfg watch.Config) room {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := room{table: events}
	r.hub = watch.NewHub(r.table, cfg)
	var done sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); done.Wait() })
	done.Go(func() {
		if err := r.hub.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// commit appends and wakes, as a writer does.
func (r room) commit(id task.ID, states ...task.State) {
	r.append(id, states...)
	r.hub.Wake(id)
}

// stream is a call of Watch in a goroutine, and what it received.
type stream struct {
	cancel func()
	done   chan struct{}
	err    error // Valid once done is closed.

	mu     sync.Mutex
	events []task.Event
	marks  []bookmark
	before func(watch.Update) error // Called before an update is taken; nil does nothing.
}

type bookmark struct {
	At       time.Duration // Since the watch began.
	Revision int64
}

// watch begins to watch a task. before may be nil.
func (r room) watch(t *testing.T, after int64, before func(watch.Update) error) *stream {
	t.Helper()
	return follow(t.Context(), r.hub, id, after, before)
}

func follow(ctx context.Context, hub *watch.Hub, id task.ID, after int64, before func(watch.Update) error) *stream {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{cancel: cancel, done: make(chan struct{}), before: before}
	began := time.Now()
	go func() {
		defer close(s.done)
		defer cancel()
		s.err = hub.Watch(ctx, id, after, func(u watch.Update) error { return s.take(u, time.Since(began)) })
	}()
	return s
}

func (s *stream) take(u watch.Update, at time.Duration) error {
	if s.before != nil {
		if err := s.before(u); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case u.Event == nil:
		s.marks = append(s.marks, bookmark{At: at, Revision: u.Bookmark})
	case u.Bookmark != 0:
		return errors.New("an update is an event and a bookmark")
	default:
		s.events = append(s.events, *u.Event)
	}
	return nil
}

// revisions returns what was received so far.
func (s *stream) revisions() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var revisions []int64
	for _, e := range s.events {
		revisions = append(revisions, e.Revision)
	}
	return revisions
}

func (s *stream) bookmarks() []bookmark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.marks)
}

// wantRevisions fails unless exactly these revisions were received once all goroutines wait. No time passes meanwhile.
func (s *stream) wantRevisions(t *testing.T, want ...int64) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, s.revisions()); diff != "" {
		t.Errorf("revisions received (-want +got):\n%s", diff)
	}
}

// wantOpen fails when the watch ended.
func (s *stream) wantOpen(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case <-s.done:
		t.Errorf("the watch ended with: %v", s.err)
	default:
	}
}

// wantEnd fails unless the watch ended with this error by now. No time passes meanwhile.
func (s *stream) wantEnd(t *testing.T, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case <-s.done:
		if !errors.Is(s.err, want) {
			t.Errorf("the watch ended with: %v; want %v", s.err, want)
		}
	default:
		t.Errorf("the watch is still open; want its end with: %v", want)
	}
}

// pass lets time go by in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// span returns the numbers from one to another.
func span(from, to int64) []int64 {
	var numbers []int64
	for n := from; n <= to; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}
