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

// load is the load of a random run.
type load struct {
	tasks    int
	over     time.Duration // The time over which they are submitted.
	watchers int           // Each follows one task at a time.
	cancels  int           // One task in this many is canceled; 0 means none.
	retries  int           // One failed task in this many is retried.
}

// runTenants are the tenants of a random run. Each must get the events of its own tasks alone.
var runTenants = []string{"films", "ads"}

// seed returns the seed in FAULT_SEED, or a new one, and prints it.
func seed(t *testing.T) uint64 {
	t.Helper()
	s, err := strconv.ParseUint(os.Getenv("FAULT_SEED"), 10, 64)
	if err != nil {
		s = rand.Uint64()
	}
	t.Logf("FAULT_SEED=%d", s)
	return s
}

// TestFaults_ARandomRun causes random faults for a while, and audits the result.
func TestFaults_ARandomRun(t *testing.T) {
	t.Parallel()
	s := seed(t)
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	f := newFleet(t, fleetConfig{
		replicas: 3, databaseURL: startDatabase(t), tenants: runTenants,
		limits: map[string]audit.Limit{
			"kie":         {Submissions: 6, Window: 2 * time.Second, InFlight: 6},
			"luma":        {Submissions: 8, Window: 2 * time.Second, InFlight: 20},
			"luma-agents": {Submissions: 10, Window: 2 * time.Second, InFlight: 40},
		},
		sim:      sim.Config{Script: (&firstAnswers{seen: map[string]bool{}}).script},
		profiles: profiles.Set{Luma: luma.Profile{CallbackSpacing: time.Second}},
	})
	f.start(ctx)
	f.subscribe(ctx, randomOf(s))
	c := &chaos{fleet: f, random: rand.New(rand.NewPCG(s, 1)), gap: 500 * time.Millisecond, storm: 6 * time.Second, calm: 4 * time.Second, plan: planOf(3), executed: make(chan struct{})}
	f.random(ctx, load{tasks: 24, over: 5 * time.Second, watchers: 12, cancels: 12, retries: 3}, c, &generator{
		random: rand.New(rand.NewPCG(s, 2)), rare: 1, used: map[string]int{}, tenants: runTenants,
	})
}

// random runs a load on a fleet with faults, waits until open tasks have ended, and audits.
func (f *fleet) random(ctx context.Context, l load, c *chaos, k *generator) audit.Report {
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
		case <-c.executed:
		case <-ctx.Done():
		}
		calmDown()
	}
	breakers.Wait()
	f.start(ctx)
	if f.hooks != nil {
		f.hooks.calm.Store(true)
	}
	f.settle(ctx)
	f.awaitWatches(ctx)
	stopWatching()
	watchers.Wait()
	f.drain()
	return f.audit(ctx)
}

// watched records that a watch of a task begins or has ended.
func (f *fleet) watched(id string, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if open {
		f.open[id] = true
	} else {
		delete(f.open, id)
	}
}

// awaitWatches waits until the watches have ended of all tasks except those that wait for an unknown outcome, whose
// watches have no end.
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

// feed submits the load, some tasks twice, cancels some tasks, and retries some that failed.
func (f *fleet) feed(ctx context.Context, l load, k *generator, client refractv1.TaskServiceClient, ids chan<- string) {
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
				if f.watch(ctx, client, id) { // Otherwise its outcome is unknown and it still waits.
					f.retry(ctx, client, id)
				}
			}
		})
	}
}

// cancel cancels a task, with retries.
func (f *fleet) cancel(ctx context.Context, client refractv1.TaskServiceClient, id string) {
	ctx = f.asOwner(ctx, id)
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
	if _, err := client.RetryTask(f.asOwner(ctx, id), &refractv1.RetryTaskRequest{TaskId: id}); err == nil || f.expect("retry", err) {
		f.done.add("retries", 1)
	}
}
