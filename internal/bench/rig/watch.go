package rig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/bench/dataset"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// How streams are opened, and what is sent through them.
const (
	watchesPerConnection = 1000
	watchOpeners         = 64
	watchEvents          = 1000 // A second, over all streams.
	watchEventsLost      = 100  // A second, while notifications get lost.
)

// watches measures many open streams: what they cost, how fast events reach them, and how fast they are drained.
func (r *rig) watches(ctx context.Context) (rows []bench.Row, err error) {
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
	r.progress("  opened %d streams in %s", r.Streams, opened.Round(time.Millisecond))
	notified, lost, err := r.fanOuts(ctx, w)
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
	return bench.WatchResult{
		Streams: r.Streams, Opened: opened, PeakMiB: peak, Notified: notified, Lost: lost, Drained: drained, Sweep: watch.DefaultSweep,
	}.Rows(), nil
}

// fanOuts changes tasks as another replica does, which sends notifications, and then as one whose notifications get lost.
func (r *rig) fanOuts(ctx context.Context, w *bench.Watchers) (notified, lost bench.FanOut, err error) {
	log, err := server.NewLogger(r.errs, "text", "error")
	if err != nil {
		return notified, lost, err
	}
	notifier := replica.NewNotifier(replica.NotifierConfig{Pool: r.pool, Log: log})
	notifying, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- notifier.Run(notifying) }()
	change := func(ctx context.Context, tasks []string, message string) error {
		if err := dataset.ChangeTasks(ctx, r.pool, tasks, message); err != nil {
			return err
		}
		for _, id := range tasks {
			notifier.Add(task.ID(id))
		}
		return nil
	}
	notified, err = w.FanOut(ctx, change, watchEvents, time.Duration(r.Rounds)*r.For)
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		return notified, lost, err
	}
	silent := func(ctx context.Context, tasks []string, message string) error {
		return dataset.ChangeTasks(ctx, r.pool, tasks, message)
	}
	lost, err = w.FanOut(ctx, silent, watchEventsLost, r.For)
	if err == nil && (notified.Received < notified.Committed || lost.Received < lost.Committed) {
		err = fmt.Errorf("%d of %d events arrived, and %d of %d whose notification was lost", notified.Received, notified.Committed, lost.Received, lost.Committed)
	}
	r.progress("  with notifications: %+v; without: %+v", notified, lost)
	return notified, lost, err
}
