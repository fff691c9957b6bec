package rig

import (
	"context"
	"errors"
	"slices"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/bench/dataset"
)

// webhooks measures how fast events are delivered, against plain POSTs of the same bodies, and what an endpoint costs the tenant's
// submissions and callbacks.
func (r *rig) webhooks(ctx context.Context) (rows []bench.Row, err error) {
	if err := errors.Join(r.reset(ctx), dataset.HoldSaves(ctx, r.pool)); err != nil {
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
	if err := store.Accounts.HoldAccount(ctx, "kie", "webhooks are measured"); err != nil {
		return nil, err
	}
	for _, p := range receiverPaces {
		delivered, err := r.deliveries(ctx, s, p)
		if err != nil {
			return nil, err
		}
		rows = append(rows, delivered)
	}
	costs, err := r.subscriptions(ctx, s)
	return append(rows, costs...), err
}

// receiverPace is how fast a receiver answers, and what its deliveries must reach.
type receiverPace struct {
	budget      string
	after       time.Duration
	floor, goal float64
}

// receiverPaces are a receiver at the distance of another data center, and one that takes no time. With the latter all processors are busy,
// and the ratio is that of what a delivery costs them: to read, render, sign and record it, and not only to post it.
var receiverPaces = []receiverPace{
	{"webhook deliveries, 64 connections, answered after 20 ms", 20 * time.Millisecond, 0.7, 0},
	{"webhook deliveries, 64 connections, answered at once", 0, 0.15, 0.7},
}

// warmDeliveries are delivered before those that are measured. The number of requests in progress grows while requests succeed.
const warmDeliveries = 2000

// deliveries measures deliveries to one endpoint.
func (r *rig) deliveries(ctx context.Context, s *service, p receiverPace) (row bench.Row, err error) {
	receiver := bench.StartReceiver(p.after)
	defer receiver.Close()
	endpoint := &refractv1.CreateWebhookEndpointRequest{Url: receiver.URL()}
	err = bench.WithEndpoint(ctx, s.grpc, r.token, endpoint, func(ctx context.Context, id string) error {
		if _, _, err := r.deliver(ctx, receiver, id, warmDeliveries); err != nil {
			return err
		}
		var turns []bench.Row
		for range r.Rounds {
			plain, err := receiver.Plain(ctx, benchCallers, r.For)
			if err != nil {
				return err
			}
			rate, connections, err := r.deliver(ctx, receiver, id, max(plain.Done/2, 2))
			if err != nil {
				return err
			}
			r.progress("  %s: %.0f/s over %d connections; plain net/http %.0f/s", p.budget, rate.PerSecond, connections, plain.PerSecond)
			turns = append(turns, bench.AtLeast(p.budget, "/s", rate.PerSecond, plain.PerSecond, "plain net/http, 64 connections", p.floor).
				Aiming(p.goal))
		}
		row = bench.Median(turns)
		return nil
	})
	return row, err
}

// deliver makes events of ended tasks due, and returns how fast they arrive.
func (r *rig) deliver(ctx context.Context, receiver *bench.Receiver, endpoint string, events int) (bench.Rate, int, error) {
	first := r.row
	r.row += 2 * events
	if err := dataset.GrowDeliverable(ctx, r.loader, first, r.row); err != nil {
		return bench.Rate{}, 0, err
	}
	return receiver.Receive(ctx, events, func(ctx context.Context) error { return dataset.Deliver(ctx, r.loader, endpoint, first, r.row) })
}

// subscriptions measures submissions and callbacks of a tenant with an endpoint that receives every event, and without one. The rate
// limit of the endpoint leaves its deliveries waiting: the cost is that of their rows, and not of the requests, which come later and
// which another replica can make.
func (r *rig) subscriptions(ctx context.Context, s *service) (rows []bench.Row, err error) {
	receiver := bench.StartReceiver(0)
	defer receiver.Close()
	endpoint := &refractv1.CreateWebhookEndpointRequest{Url: receiver.URL(), EventTypes: bench.EveryEvent, RateLimit: 1}
	submits := bench.Submits{Address: s.grpc, Token: r.token, Callers: benchCallers, For: r.For}
	for _, l := range []struct {
		budget string
		run    func(context.Context) (bench.Rate, error)
	}{
		{"SubmitTask over gRPC, 64 callers, every event subscribed", submits.Run},
		{"callbacks over HTTP, 64 connections, every event subscribed", r.callbackRun(s, benchCallers)},
	} {
		subscribed := func(ctx context.Context) (rate bench.Rate, err error) {
			err = bench.WithEndpoint(ctx, s.grpc, r.token, endpoint, func(ctx context.Context, _ string) error {
				rate, err = l.run(ctx)
				return err
			})
			return rate, err
		}
		var turns []bench.Row
		for round := range r.Rounds {
			with, without, err := inTurn(ctx, round, subscribed, l.run)
			if err != nil {
				return nil, err
			}
			r.progress("  %s: %.0f/s; without endpoints %.0f/s", l.budget, with.PerSecond, without.PerSecond)
			turns = append(turns, bench.AtLeast(l.budget, "/s", with.PerSecond, without.PerSecond, "without endpoints", 0.9))
		}
		rows = append(rows, bench.Median(turns))
	}
	return rows, nil
}

// inTurn runs two loads one after the other, and in the other order in every other round: the first one leaves rows behind.
func inTurn(ctx context.Context, round int, a, b func(context.Context) (bench.Rate, error)) (rateA, rateB bench.Rate, err error) {
	runs := []func() error{
		func() (err error) { rateA, err = a(ctx); return err },
		func() (err error) { rateB, err = b(ctx); return err },
	}
	if round%2 == 1 {
		slices.Reverse(runs)
	}
	for _, run := range runs {
		if err := run(); err != nil {
			return rateA, rateB, err
		}
	}
	return rateA, rateB, nil
}
