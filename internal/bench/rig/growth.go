package rig

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/bench/dataset"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/retention"
)

const (
	// growFrom is how many tasks there are when costs are measured first,
	growFrom = 10_000
	// growCallbacks is how many more wait for a callback at each measurement: more than one connection brings in growFor.
	growCallbacks = 2_000
	growFor       = time.Second
)

// growth measures what single operations cost with few tasks in the database and with many, on the same service.
func (r *rig) growth(ctx context.Context) ([]bench.Row, error) {
	return r.withProvider(ctx, time.Hour, r.withoutSaves, r.growthWith)
}

func (r *rig) growthWith(ctx context.Context, s *service, p *fakeProvider) (rows []bench.Row, err error) {
	var measured [2][]benchCost
	for i, to := range []int{growFrom, max(r.GrowTo, growFrom)} {
		from := []int{growCallbacks, growFrom}[i] // The first of them are those that wait.
		began := time.Now()
		if err := dataset.Grow(ctx, r.loader, from, to); err != nil {
			return nil, err
		}
		r.progress("  made tasks %d to %d in %s", from, to, time.Since(began).Round(time.Second))
		if measured[i], err = r.costs(ctx, s, p); err != nil {
			return nil, err
		}
	}
	for i, few := range measured[0] {
		many := measured[1][i]
		r.progress("  %s: p50 %s with %d tasks, %s with %d", few.name, few.p50, growFrom, many.p50, r.GrowTo)
		rows = append(rows, bench.WithinTimes(fmt.Sprintf("%s with %d tasks, p50", few.name, r.GrowTo), "ms",
			millis(many.p50), millis(few.p50), fmt.Sprintf("with %d", growFrom), 1.3))
	}
	return rows, nil
}

// benchCost is what one operation takes.
type benchCost struct {
	name string
	p50  time.Duration
}

// costs measures the operations that must not depend on how many tasks there are.
func (r *rig) costs(ctx context.Context, s *service, p *fakeProvider) ([]benchCost, error) {
	idle := bench.Idle{Address: s.grpc, Token: r.token, Calls: r.idleCalls()}
	store, err := r.store()
	if err != nil {
		return nil, err
	}
	if err := dataset.RemoveOpen(ctx, r.loader); err != nil {
		return nil, err
	}
	first, err := r.rows(ctx, growCallbacks, true)
	if err != nil {
		return nil, err
	}
	var costs []benchCost
	add := func(name string, l []bench.Latency, err error) error {
		if err == nil {
			costs = append(costs, benchCost{name, l[0].P50})
		}
		return err
	}
	submit, err := idle.SubmitToPost(ctx, p.host.URL+"/%d.mp4", p.posted)
	if err := add("submission and admission", submit, err); err != nil {
		return nil, err
	}
	list, err := idle.ListTasks(ctx)
	if err := add("first page of ListTasks", list, err); err != nil {
		return nil, err
	}
	load := r.callbackLoad(s, 1, first)
	load.For = growFor
	callbacks, err := load.Run(ctx)
	if err := add("callback", []bench.Latency{{P50: callbacks.P50}}, err); err != nil {
		return nil, err
	}
	claim, err := bench.Measure(ctx, r.idleCalls(), bench.Timed(func(ctx context.Context) error {
		_, err := store.Tasks.ClaimChecks(ctx, "kie", lifecycle.Cadence{Pace: lifecycle.Pace{Every: time.Minute, Typical: time.Minute}, Slow: time.Hour}, 20)
		return err
	}))
	if err := add("claim of checks, none due", claim, err); err != nil {
		return nil, err
	}
	aged, err := bench.Measure(ctx, r.idleCalls(), bench.Timed(func(ctx context.Context) error { return lookForExpired(ctx, store) }))
	return costs, add("search for what has expired, nothing has", aged, err)
}

// lookForExpired does what a round of retention does first.
func lookForExpired(ctx context.Context, store *postgres.Stores) error {
	for _, kind := range retention.Kinds {
		if _, err := store.Retention.ExpiryCandidates(ctx, kind, retention.Candidate{}); err != nil {
			return err
		}
	}
	return nil
}
