package rig

import (
	"context"
	"errors"
	"time"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/bench/dataset"
)

// The connections that a load comes over: few, and many, which must not be slower.
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
func (r *rig) callbacks(ctx context.Context) (rows []bench.Row, err error) {
	if err := errors.Join(r.reset(ctx), dataset.HoldSaves(ctx, r.pool)); err != nil {
		return nil, err
	}
	s, err := r.serve(ctx, noProvider)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	return r.turns(ctx, "callbacks over HTTP", benchBaseline{bench.CallbackScripts(), true}, []benchLoad{
		{bench.Load{Name: "64 connections", Callers: benchCallers, Floor: 0.8, Goal: 1}, r.callbackRun(s, benchCallers)},
		{bench.Load{Name: "512 connections", Callers: benchCrowd, Floor: 1.3, Goal: 1.5, Than: "64 connections"}, r.callbackRun(s, benchCrowd)},
	})
}

func (r *rig) callbackRun(s *service, connections int) func(context.Context) (bench.Rate, error) {
	return func(ctx context.Context) (bench.Rate, error) {
		first, err := r.rows(ctx, loadRows(r.For, true), true)
		if err != nil {
			return bench.Rate{}, err
		}
		return r.callbackLoad(s, connections, first).Run(ctx)
	}
}

// submits measures submissions, one by one and in batches, against pgbench.
func (r *rig) submits(ctx context.Context) (rows []bench.Row, err error) {
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
	// The submitted tasks stay queued. The service would otherwise work on them while the next load is measured.
	if err := store.Accounts.HoldAccount(ctx, "kie", "submissions are measured"); err != nil {
		return nil, err
	}
	load := bench.Submits{Address: s.grpc, Token: r.token, Callers: benchCallers, For: r.For}
	crowd, batches := load, load
	crowd.Callers = benchCrowd
	batches.Callers, batches.Batch = 4, 500
	return r.turns(ctx, "SubmitTask over gRPC", benchBaseline{bench.SubmitScripts(), false}, []benchLoad{
		{bench.Load{Name: "64 callers", Callers: benchCallers, Floor: 0.7, Goal: 1}, load.Run},
		{bench.Load{Name: "512 callers", Callers: benchCrowd, Floor: 0.9, Than: "64 callers"}, crowd.Run},
		{bench.Load{Name: "BatchSubmitTasks, 4 callers of 500", Callers: 4, Floor: 3, Goal: 4}, batches.Run},
	})
}

// benchLoad is a load with the function that runs it once.
type benchLoad struct {
	bench.Load

	run func(context.Context) (bench.Rate, error)
}

// benchBaseline is what pgbench does in turn with loads.
type benchBaseline struct {
	scripts  []bench.Script
	prepared bool // Whether the scripts need tasks that wait for their callback.
}

// turns tries which script is the best baseline, lets it and the loads take turns, and returns the rows of the loads.
func (r *rig) turns(ctx context.Context, operation string, b benchBaseline, loads []benchLoad) ([]bench.Row, error) {
	baseline, err := r.bestBaseline(ctx, b)
	if err != nil {
		return nil, err
	}
	var turns []bench.Turn
	for range r.Rounds {
		turn, err := r.turn(ctx, operation, b, baseline, loads)
		if err != nil {
			return nil, err
		}
		turns = append(turns, turn)
	}
	budgets := make([]bench.Load, len(loads))
	for i, l := range loads {
		budgets[i] = l.Load
	}
	return bench.LoadRows(operation, budgets, turns), nil
}

func (r *rig) turn(ctx context.Context, operation string, b benchBaseline, baseline bench.Trial, loads []benchLoad) (bench.Turn, error) {
	first, err := r.rows(ctx, loadRows(r.For, b.prepared), b.prepared)
	if err != nil {
		return bench.Turn{}, err
	}
	run := bench.PgbenchRun{Script: baseline.Script, Clients: baseline.Clients, FirstRow: first, For: r.For}
	if baseline.Rate, err = r.pgbench.Run(ctx, run); err != nil {
		return bench.Turn{}, err
	}
	turn := bench.Turn{Baseline: baseline}
	for _, l := range loads {
		rate, err := l.run(ctx)
		if err != nil {
			return turn, err
		}
		r.progress("  %s, %s: %.0f/s, p50 %s, p99 %s; pgbench %.0f/s", operation, l.Name, rate.PerSecond, rate.P50, rate.P99, baseline.Rate.PerSecond)
		turn.Rates = append(turn.Rates, rate)
	}
	return turn, nil
}

func (r *rig) bestBaseline(ctx context.Context, b benchBaseline) (bench.Trial, error) {
	duration := r.For / 2
	trials, err := r.pgbench.Try(ctx, b.scripts, duration, func() (int, error) { return r.rows(ctx, loadRows(duration, b.prepared), b.prepared) })
	if err != nil {
		return bench.Trial{}, err
	}
	for _, t := range trials {
		r.progress("  %s: %.0f/s", t, t.Rate.PerSecond)
	}
	return bench.Best(trials), nil
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }
