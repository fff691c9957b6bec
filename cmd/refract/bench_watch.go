package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/task"
)

// How streams are opened, and what is sent through them.
const (
	watchesPerConnection = 1000
	watchOpeners         = 64
	watchEvents          = 1000 // A second, over all streams.
	watchEventsUntold    = 100  // A second, while nobody is told of them.
)

// watches measures many open streams: what they cost, how fast events reach them, and how fast they are drained.
func (r *benchRig) watches(ctx context.Context) (rows []bench.Row, err error) {
	if err := r.reset(ctx); err != nil {
		return nil, err
	}
	first, err := r.rows(ctx, r.Streams, true)
	if err != nil {
		return nil, err
	}
	s, err := r.serve(ctx, noProvider)
	if err != nil {
		return nil, err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, s.stop())
		}
	}()
	tasks := make([]string, r.Streams)
	for i := range tasks {
		tasks[i] = bench.TaskID(first + i)
	}
	w, opened, err := bench.OpenWatchers(ctx, bench.WatchConfig{
		Address: s.grpc, Token: r.token, Connections: (r.Streams + watchesPerConnection - 1) / watchesPerConnection, Tasks: tasks, Openers: watchOpeners,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	r.tell("  opened %d streams in %s", r.Streams, opened.Round(time.Millisecond))
	told, untold, err := r.fanOuts(ctx, w)
	if err != nil {
		return nil, err
	}
	peak, err := bench.PeakMiB(s.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	stopped = true
	drained, err := w.Drain(ctx, s.terminate)
	if err := errors.Join(err, <-s.ended); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%d WatchTask streams", r.Streams)
	return []bench.Row{
		bench.AtMost(name+": peak memory of the service", "MiB", peak, 2048).Noting("opened in %.0f s", opened.Seconds()),
		bench.AtMost(fmt.Sprintf("%s: event to watcher, %d a second, p99", name, watchEvents), "ms", millis(told.P99), 100).
			Noting("%.0f a second, p50 %.1f ms, max %.0f ms", told.PerSecond, millis(told.P50), millis(told.Max)),
		bench.AtMost(name+": event to watcher, notification lost, p99", "ms", millis(untold.P99), 1000).
			Noting("p50 %.0f ms, max %.0f ms", millis(untold.P50), millis(untold.Max)),
		bench.AtMost(name+": drain after SIGTERM", "s", drained.Seconds(), 10),
	}, nil
}

// fanOuts changes tasks as another replica does, which tells of it, and then as one does whose notifications get lost.
func (r *benchRig) fanOuts(ctx context.Context, w *bench.Watchers) (told, untold bench.FanOut, err error) {
	store, err := r.store()
	if err != nil {
		return told, untold, err
	}
	notifying, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- store.Notifier().Run(notifying) }()
	change := func(ctx context.Context, tasks []string, message string) error {
		if err := bench.ChangeTasks(ctx, r.pool, tasks, message); err != nil {
			return err
		}
		for _, id := range tasks {
			store.Notifier().Add(task.ID(id))
		}
		return nil
	}
	told, err = w.FanOut(ctx, change, watchEvents, time.Duration(r.Rounds)*r.For)
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		return told, untold, err
	}
	silent := func(ctx context.Context, tasks []string, message string) error {
		return bench.ChangeTasks(ctx, r.pool, tasks, message)
	}
	untold, err = w.FanOut(ctx, silent, watchEventsUntold, r.For)
	if err == nil && (told.Received < told.Committed || untold.Received < untold.Committed) {
		err = fmt.Errorf("of %d events %d arrived, of %d untold ones %d", told.Committed, told.Received, untold.Committed, untold.Received)
	}
	r.tell("  told: %+v; untold: %+v", told, untold)
	return told, untold, err
}
