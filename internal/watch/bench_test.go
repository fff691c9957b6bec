package watch_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// BenchmarkHub measures a hub with 100,000 idle watchers of as many tasks. It measures a wake with the read that it
// causes, a wake that sends an event, a sweep that sends an event, and the heap and stack per watcher, including its
// goroutine.
func BenchmarkHub(b *testing.B) {
	const watchers = 100_000
	ctx, cancel := context.WithCancel(b.Context())
	events := newTable()
	ids := make([]task.ID, watchers)
	for i := range ids {
		ids[i] = task.ID(fmt.Sprintf("0192f0c4-6d1e-7a53-8f0e-%012d", i))
		events.append(ids[i], task.Queued)
	}
	hub := watch.NewHub(events, watch.Config{})

	before, goroutines := memory(), runtime.NumGoroutine()
	var begun, streams sync.WaitGroup
	begun.Add(watchers)
	received := make(chan int64, 1)
	for _, id := range ids {
		streams.Go(func() {
			err := hub.Watch(ctx, id, 0, func(u watch.Update) error {
				switch {
				case u.Event == nil:
				case u.Event.Revision == 1:
					begun.Done()
				default:
					received <- u.Event.Revision
				}
				return nil
			})
			if ctx.Err() == nil {
				b.Errorf("watch %s: %v", id, err)
			}
		})
	}
	begun.Wait()
	perWatcher := float64(memory()-before) / watchers
	perStream := float64(runtime.NumGoroutine()-goroutines) / watchers

	b.Run("Wake", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			hub.Wake(ids[i%watchers])
		}
		b.ReportMetric(perWatcher, "B/watcher")
		b.ReportMetric(perStream, "goroutines/watcher")
	})
	b.Run("Deliver", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			id := ids[i%watchers]
			events.append(id, task.Running)
			hub.Wake(id)
			<-received
		}
	})
	sweeping, stop := context.WithCancel(ctx)
	streams.Go(func() {
		if err := hub.Run(sweeping); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
	b.Run("Sweep", func(b *testing.B) {
		for b.Loop() {
			id := ids[b.N%watchers]
			events.append(id, task.Running) // Without a wake.
			hub.WakeAll()
			<-received
		}
	})
	stop()
	cancel()
	streams.Wait()
}

// memory returns the size of heap and stacks after a garbage collection.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
