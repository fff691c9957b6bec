package watch_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// caller is a client that resumes its watch after each interruption.
type caller struct {
	start    int64   // The revision after which it began.
	received []int64 // By streams that have ended.
	stream   *stream
}

// newest returns the newest revision that the caller received, or the one after which it began.
func (c *caller) newest() int64 { return c.start + int64(len(c.received)) }

// settle adds what an ended stream has received. It must continue what was received before.
func (c *caller) settle(t *rapid.T) {
	got := c.stream.revisions()
	if diff := cmp.Diff(span(c.newest()+1, c.newest()+int64(len(got))), got); diff != "" {
		t.Fatalf("a stream after revision %d (-want +got):\n%s", c.newest(), diff)
	}
	c.received = append(c.received, got...)
}

// world is one run of the property: callers, a table that fails at times, and notifications that get lost.
type world struct {
	*table
	hub     *watch.Hub
	ctx     context.Context // Of this run.
	callers []*caller
}

func (w *world) join(start int64) {
	w.callers = append(w.callers, &caller{start: start, stream: follow(w.ctx, w.hub, id, start, nil)})
}

// reconnect ends the stream of a caller, unless it has ended, and resumes after what was received.
func (w *world) reconnect(t *rapid.T, c *caller) {
	c.stream.cancel()
	<-c.stream.done
	c.settle(t)
	c.stream = follow(w.ctx, w.hub, id, c.newest(), nil)
}

func TestWatch_EveryRevisionOnceInOrderWhateverIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, checkDelivery) })
}

func checkDelivery(t *rapid.T) {
	w := &world{table: newTable()}
	w.hub = watch.NewHub(w.table, watch.Config{
		Page:   rapid.IntRange(1, 4).Draw(t, "page"),
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var sweeps sync.WaitGroup
	defer func() { cancel(); sweeps.Wait(); synctest.Wait() }()
	w.ctx = ctx
	sweeps.Go(func() {
		if err := w.hub.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	w.append(id, task.Queued)
	w.join(0)

	states := rapid.SliceOfN(rapid.SampledFrom(task.States), 1, 5)
	anyone := func(t *rapid.T) *caller { return rapid.SampledFrom(w.callers).Draw(t, "caller") }
	t.Repeat(map[string]func(*rapid.T){
		"commit":          func(t *rapid.T) { w.append(id, states.Draw(t, "states")...); w.hub.Wake(id) },
		"commit unheard":  func(t *rapid.T) { w.append(id, states.Draw(t, "states")...) },
		"commit at read":  func(t *rapid.T) { s := states.Draw(t, "states"); w.beforeNextAnswer(func() { w.append(id, s...) }) },
		"wake":            func(*rapid.T) { w.hub.Wake(id) },
		"wake all":        func(*rapid.T) { w.hub.WakeAll() },
		"outage":          func(*rapid.T) { w.setDown(true) },
		"end of outage":   func(*rapid.T) { w.setDown(false) },
		"reconnect":       func(t *rapid.T) { w.reconnect(t, anyone(t)) },
		"another watcher": func(t *rapid.T) { w.join(rapid.Int64Range(0, w.newest(id)).Draw(t, "start")) },
		"settle":          func(*rapid.T) { synctest.Wait() },
		"pass time":       func(t *rapid.T) { pass(time.Duration(rapid.IntRange(1, 9000).Draw(t, "ms")) * time.Millisecond) },
	})

	w.setDown(false)
	w.beforeNextAnswer(nil)
	pass(time.Second) // A sweep. After a long outage, streams are refused until it has read the log.
	for _, c := range w.callers {
		w.reconnect(t, c) // Some ended during an outage, some with a terminal event before a retry.
	}
	synctest.Wait()
	w.append(id, task.Queued, task.Canceled)
	pass(time.Second) // A sweep.
	for _, c := range w.callers {
		select {
		case <-c.stream.done:
		default:
			t.Fatalf("a caller at revision %d of %d still waits", c.newest(), w.newest(id))
		}
		c.settle(t)
		if c.stream.err != nil || c.newest() != w.newest(id) && !w.terminal(c.newest()) {
			t.Fatalf("a caller ended at revision %d of %d: %v", c.newest(), w.newest(id), c.stream.err)
		}
	}
}

// terminal reports whether the task was terminal at the revision.
func (w *world) terminal(revision int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tasks[id].events[revision-1].State.Terminal()
}
