package faults_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// load is what a random run asks of a fleet.
type load struct {
	tasks    int
	over     time.Duration // The time over which they are submitted.
	watchers int           // Which follow a task each at a time.
	cancels  int           // One task in so many is canceled; 0 means none.
	retries  int           // One failed task in so many is retried.
}

// seed is the one that FAULT_SEED names, or a new one. It is printed.
func seed(t *testing.T) uint64 {
	t.Helper()
	s, err := strconv.ParseUint(os.Getenv("FAULT_SEED"), 10, 64)
	if err != nil {
		s = rand.Uint64()
	}
	t.Logf("FAULT_SEED=%d", s)
	return s
}

// TestFaults_ARandomRun breaks everything for a while, and lets the audit judge what became of it.
func TestFaults_ARandomRun(t *testing.T) {
	t.Parallel()
	s := seed(t)
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	f := newFleet(t, fleetConfig{
		replicas: 3, databaseURL: startDatabase(t),
		limits: map[string]audit.Limit{
			"kie":         {Submissions: 6, Window: 2 * time.Second, InFlight: 6},
			"luma":        {Submissions: 8, Window: 2 * time.Second, InFlight: 20},
			"luma-agents": {Submissions: 10, Window: 2 * time.Second, InFlight: 40},
		},
		sim:      sim.Config{Script: (&firsts{seen: map[string]bool{}}).script},
		profiles: profiles.Set{Luma: luma.Profile{CallbackSpacing: time.Second}},
	})
	f.start(ctx)
	c := &chaos{fleet: f, random: rand.New(rand.NewPCG(s, 1)), gap: 500 * time.Millisecond, storm: 6 * time.Second, calm: 4 * time.Second, deck: deckOf(5), dealt: make(chan struct{})}
	f.random(ctx, load{tasks: 40, over: 8 * time.Second, watchers: 20, cancels: 30, retries: 3}, c, &kitchen{
		random: rand.New(rand.NewPCG(s, 2)), rare: 1, served: map[string]int{},
	})
}

// random runs a load through a fleet while chaos reigns, waits for what is under way, and audits.
func (f *fleet) random(ctx context.Context, l load, c *chaos, k *kitchen) audit.Report {
	f.t.Helper()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	chaotic, calmDown := context.WithCancel(ctx)
	defer calmDown()
	var watchers, breakers sync.WaitGroup
	breakers.Go(func() { c.run(chaotic) })
	ids := make(chan string, l.tasks)
	client := f.dial()
	for range l.watchers {
		own := f.dial()
		watchers.Go(func() {
			for id := range ids {
				f.watch(watching, own, id)
				f.watched(id, false)
			}
		})
	}
	f.feed(ctx, l, k, client, ids)
	close(ids)
	if c.kills == 0 {
		select {
		case <-c.dealt:
		case <-ctx.Done():
		}
		calmDown()
	}
	breakers.Wait()
	f.start(ctx)
	f.settle(ctx)
	f.awaitWatches(ctx)
	stopWatching()
	watchers.Wait()
	f.drain()
	return f.audit(ctx)
}

// watched records that a task is to be watched, or that its watch has ended.
func (f *fleet) watched(id string, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if open {
		f.open[id] = true
	} else {
		delete(f.open, id)
	}
}

// awaitWatches waits until the watches have ended of all tasks but those that wait for an unknown outcome, which have no end.
func (f *fleet) awaitWatches(ctx context.Context) {
	f.t.Helper()
	conn, err := pgx.Connect(ctx, f.cfg.databaseURL)
	if err != nil {
		f.t.Fatal("connect to the database")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		f.mu.Lock()
		open := slices.Collect(maps.Keys(f.open))
		f.mu.Unlock()
		var ended int
		const find = `SELECT count(*) FROM task WHERE id::text = ANY ($1) AND state IN ('SUCCEEDED', 'FAILED', 'CANCELED')`
		if err := conn.QueryRow(ctx, find, open).Scan(&ended); err != nil {
			f.t.Errorf("wait for the watches of ended tasks: %v", err)
			return
		}
		if ended == 0 {
			return
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			f.t.Errorf("%d tasks have ended and their watches have not", ended)
			return
		}
	}
}

// feed submits the load, a part of it twice, cancels some of it, and retries some of what failed.
func (f *fleet) feed(ctx context.Context, l load, k *kitchen, client refractv1.TaskServiceClient, ids chan<- string) {
	f.t.Helper()
	var callers sync.WaitGroup
	defer callers.Wait()
	began := time.Now()
	for i := range l.tasks {
		_ = pause(ctx, time.Until(began.Add(l.over*time.Duration(i)/time.Duration(l.tasks))))
		o := k.next()
		cancel := l.cancels > 0 && k.random.IntN(l.cancels) == 0
		retry := l.retries > 0 && k.random.IntN(l.retries) == 0 && len(o.outcomes) == 1 && o.outcomes[0] == "FAILED/PROVIDER_FAILED"
		if cancel {
			o.outcomes = append(o.outcomes, "CANCELED")
		}
		if i%20 == 0 {
			callers.Go(func() { _, _ = f.submit(ctx, client, o) })
		}
		callers.Go(func() {
			id, err := f.submit(ctx, client, o)
			if err != nil {
				f.t.Errorf("submit %s: %v", o.requestID, err)
				return
			}
			f.watched(id, true)
			ids <- id
			switch {
			case cancel:
				f.cancel(ctx, client, id)
			case retry:
				if f.watch(ctx, client, id) { // Otherwise its outcome is unknown, and it still waits.
					f.retry(ctx, client, id)
				}
			}
		})
	}
}

// cancel cancels a task, as often as it takes.
func (f *fleet) cancel(ctx context.Context, client refractv1.TaskServiceClient, id string) {
	for ctx.Err() == nil {
		_, err := client.CancelTask(ctx, &refractv1.CancelTaskRequest{TaskId: id})
		if err == nil || !f.expect("cancel", err) {
			f.done.add("cancels", 1)
			return
		}
		_ = pause(ctx, 100*time.Millisecond)
	}
}

// retry retries a task that failed. A retry whose answer was lost may have worked, so it is not repeated.
func (f *fleet) retry(ctx context.Context, client refractv1.TaskServiceClient, id string) {
	if _, err := client.RetryTask(ctx, &refractv1.RetryTaskRequest{TaskId: id}); err == nil || f.expect("retry", err) {
		f.done.add("retries", 1)
	}
}
