package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/bench"
)

// The connections that a load comes over: what the budgets name, and how many more must not slow it down.
const (
	benchCallers = 64
	benchCrowd   = 512
)

// How many rows are set aside for a load, a second: above what any does here. Those of callbacks have to be prepared.
const (
	callbackRows = 10_000
	submitRows   = 50_000
)

// loadRows is how many rows a load may need.
func loadRows(duration time.Duration, tasks bool) int {
	perSecond := submitRows
	if tasks {
		perSecond = callbackRows
	}
	return int(max(duration.Seconds(), 1)*float64(perSecond)) + 1000 // pgbench counts in whole seconds.
}

// callbacks measures callbacks, each verified and committed, against pgbench, and many connections against few.
func (r *benchRig) callbacks(ctx context.Context) (rows []bench.Row, err error) {
	if err := errors.Join(r.reset(ctx), bench.HoldSaves(ctx, r.pool)); err != nil {
		return nil, err
	}
	s, err := r.serve(ctx, noProvider)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	return r.turns(ctx, "callbacks over HTTP", bench.CallbackScript(), true, []benchLoad{
		{"64 connections", benchCallers, 1, r.callbackRun(s, benchCallers)},
		{"512 connections", benchCrowd, 0, r.callbackRun(s, benchCrowd)},
	})
}

func (r *benchRig) callbackRun(s *benchService, connections int) func(context.Context) (bench.Rate, error) {
	return func(ctx context.Context) (bench.Rate, error) {
		first, err := r.rows(ctx, loadRows(r.For, true), true)
		if err != nil {
			return bench.Rate{}, err
		}
		return r.callbackLoad(s, connections, first).Run(ctx)
	}
}

// submits measures submissions, one by one and in batches, against pgbench.
func (r *benchRig) submits(ctx context.Context) (rows []bench.Row, err error) {
	if err := r.reset(ctx); err != nil {
		return nil, err
	}
	s, err := r.serve(ctx, noProvider)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	store, err := r.store()
	if err != nil {
		return nil, err
	}
	// Tasks that were submitted stay queued, or else the service would work them off beside the next load and its baseline.
	if err := store.HoldAccount(ctx, "kie", "submissions are measured"); err != nil {
		return nil, err
	}
	load := bench.Submits{Address: s.grpc, Token: r.token, Callers: benchCallers, For: r.For}
	crowd, batches := load, load
	crowd.Callers = benchCrowd
	batches.Callers, batches.Batch = 4, 500
	return r.turns(ctx, "SubmitTask over gRPC", bench.SubmitScript(), false, []benchLoad{
		{"64 callers", benchCallers, 0.7, load.Run},
		{"512 callers", benchCrowd, 0, crowd.Run},
		{"BatchSubmitTasks, 4 callers of 500", 4, 3, batches.Run},
	})
}

// benchLoad is a load that takes turns with a baseline.
type benchLoad struct {
	name    string
	callers int
	needed  float64 // By the baseline's rate; 0 means that it is measured by the first load.
	run     func(context.Context) (bench.Rate, error)
}

// crowdKeeps is how much of the rate of few callers many must keep, and crowdWaits how long a call of theirs may take.
const (
	crowdKeeps = 0.9
	crowdWaits = 250 * time.Millisecond
)

// turns lets loads and their baseline take turns, and returns the row of each load with the median ratio.
func (r *benchRig) turns(ctx context.Context, name, script string, tasks bool, loads []benchLoad) ([]bench.Row, error) {
	clients, err := r.bestClients(ctx, script, tasks)
	if err != nil {
		return nil, err
	}
	by := fmt.Sprintf("pgbench, %d clients", clients)
	turns, waits := make([][]bench.Row, len(loads)), make([][]bench.Row, len(loads))
	for range r.Rounds {
		baseline, err := r.baseline(ctx, script, clients, tasks)
		if err != nil {
			return nil, err
		}
		var first bench.Rate
		for i, l := range loads {
			rate, err := l.run(ctx)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				first = rate
			}
			r.tell("  %s, %s: %.0f/s, p50 %s, p99 %s; pgbench %.0f/s", name, l.name, rate.PerSecond, rate.P50, rate.P99, baseline.PerSecond)
			row := bench.AtLeast(name+", "+l.name, "/s", rate.PerSecond, baseline.PerSecond, by, l.needed)
			if l.needed == 0 {
				row = bench.AtLeast(name+", "+l.name, "/s", rate.PerSecond, first.PerSecond, loads[0].name, crowdKeeps)
				waits[i] = append(waits[i], bench.AtMost(name+", "+l.name+", p99", "ms", millis(rate.P99), millis(crowdWaits)).Beside(millis(first.P99), loads[0].name))
			}
			turns[i] = append(turns[i], row.Noting("p50 %.1f ms, p99 %.1f ms", millis(rate.P50), millis(rate.P99)))
		}
	}
	var rows []bench.Row
	for i := range loads {
		rows = append(rows, bench.Median(turns[i]))
		if len(waits[i]) > 0 {
			rows = append(rows, bench.MedianFigure(waits[i]))
		}
	}
	return rows, nil
}

func (r *benchRig) bestClients(ctx context.Context, script string, tasks bool) (int, error) {
	duration := r.For / 2
	return r.pgbench.Best(ctx, script, duration, func() (int, error) { return r.rows(ctx, loadRows(duration, tasks), tasks) })
}

func (r *benchRig) baseline(ctx context.Context, script string, clients int, tasks bool) (bench.Rate, error) {
	first, err := r.rows(ctx, loadRows(r.For, tasks), tasks)
	if err != nil {
		return bench.Rate{}, err
	}
	return r.pgbench.Run(ctx, script, clients, r.For, first)
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }
