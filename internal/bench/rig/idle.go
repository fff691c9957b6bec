package rig

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/bench/dataset"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// idleCalls is how many calls the latencies are measured by: 300 with the default duration.
func (r *rig) idleCalls() int { return max(3, int(60*r.For.Seconds())) }

// start measures a cold start on a private PostgreSQL that does not exist yet, from the start of the program to its first
// accepted task, against the creation and start of such a PostgreSQL alone.
func (r *rig) start(ctx context.Context) (rows []bench.Row, err error) {
	alone, err := r.startPostgres(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	s, err := r.startService(ctx, []string{"KIE_API_KEY=bench", "KIE_URL=" + noProvider}, "--auth=none", "--data-dir="+filepath.Join(r.dir, "cold"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := bench.SubmitFirst(ctx, s.grpc); err != nil {
		return nil, err
	}
	return []bench.Row{bench.WithinTimes("start of the program to first task accepted, new database", "s",
		time.Since(began).Seconds(), alone.Seconds(), "initdb and start of PostgreSQL", startTimes)}, nil
}

// startTimes bounds the start of the program, as a multiple of that of its database.
const startTimes = 3

// startPostgres returns how long a private PostgreSQL takes to be created and started.
func (r *rig) startPostgres(ctx context.Context) (time.Duration, error) {
	log, err := server.NewLogger(r.errs, "text", "error")
	if err != nil {
		return 0, err
	}
	began := time.Now()
	cluster, err := pglocal.Start(ctx, pglocal.Config{DataDir: filepath.Join(r.dir, "alone"), Logger: log})
	if err != nil {
		return 0, fmt.Errorf("start PostgreSQL alone: %w", err)
	}
	return time.Since(began), cluster.Stop(ctx)
}

// idle measures the latencies of an idle service.
func (r *rig) idle(ctx context.Context) ([]bench.Row, error) {
	return r.withProvider(ctx, time.Hour, r.withoutSaves, r.idleWith)
}

// The latencies of an idle service. A submission waits for four commits today: the task, the admission, the queue's fetch of
// the job and the intent. The design aims at three. A callback waits for one.
var (
	submitToPost      = bench.Path{Commits: 3, P50: 6, P99: 6, Goal: 1}
	callbackToWatcher = bench.Path{Commits: 1, P50: 4, P99: 5}
)

func (r *rig) idleWith(ctx context.Context, s *service, p *fakeProvider) ([]bench.Row, error) {
	commit, err := dataset.DurableCommit(ctx, r.pool)
	if err != nil {
		return nil, err
	}
	post := bench.PlainPost(p.host.URL)
	idle := bench.Idle{Address: s.grpc, Token: r.token, Calls: r.idleCalls()}
	submit, err := idle.SubmitToPost(ctx, p.host.URL+"/%d.mp4", p.posted, submitToPost.Baseline(commit, post))
	if err != nil {
		return nil, err
	}
	first, err := r.rows(ctx, 2*r.idleCalls(), true) // Some warm up.
	if err != nil {
		return nil, err
	}
	seen, err := idle.CallbackToWatcher(ctx, r.callbackLoad(s, 1, first), callbackToWatcher.Baseline(commit, post))
	if err != nil {
		return nil, err
	}
	return append(
		submitToPost.Rows("SubmitTask to provider's POST, idle", submit[0], submit[1]),
		callbackToWatcher.Rows("callback to watcher's message, idle", seen[0], seen[1])...,
	), nil
}

// posted waits for the submission with a prompt and returns when it arrived.
func (p *fakeProvider) posted(ctx context.Context, prompt string) (at time.Time, err error) {
	return at, p.sim.Await(ctx, func() bool {
		ledger := p.sim.Ledger()
		i := slices.IndexFunc(ledger, func(e sim.Entry) bool { return e.Prompt == prompt })
		if i < 0 {
			return false
		}
		at = ledger[i].Time
		return true
	})
}
