package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
)

// TestFaults_ARestoredSnapshotPaysNothingTwice takes a snapshot of the database while replicas are killed and cut off, goes on, kills all
// replicas, and puts the snapshot in the place of the database. An operator settles what the bucket has, and opens admission. The callers
// submit everything again. No task may be paid for more often than it was allowed to.
//
// The other checks of the audit do not apply: a restore loses acknowledged submissions and callbacks.
//
// It fails when begin (internal/lifecycle/records.go) ignores the record of an earlier send.
func TestFaults_ARestoredSnapshotPaysNothingTwice(t *testing.T) {
	t.Parallel()
	s := seed(t)
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	limits := map[string]audit.Limit{}
	for _, p := range providers {
		limits[p] = audit.Limit{Submissions: 6, Window: time.Second, InFlight: 20}
	}
	f := newFleet(t, fleetConfig{
		replicas: 2, databaseURL: postgrestest.URL(t), limits: limits, sim: sim.Config{Script: (&firstAnswers{seen: map[string]bool{}}).script},
	})
	f.start(ctx)
	chaotic, calmDown := context.WithCancel(ctx)
	defer calmDown()
	c := &chaos{ // The server of the database is that of other tests, so it does not crash.
		fleet: f, random: rand.New(rand.NewPCG(s, 1)), gap: time.Second, storm: 4 * time.Second, calm: 2 * time.Second, executed: make(chan struct{}),
		plan: []fault{(*chaos).kill, (*chaos).kill, (*chaos).terminate, (*chaos).cut, (*chaos).delay},
	}
	var breaking sync.WaitGroup
	breaking.Go(func() { c.run(chaotic) })

	r := &restore{fleet: f, generator: &generator{random: rand.New(rand.NewPCG(s, 2)), used: map[string]int{}}}
	r.submit(ctx, 24)
	r.reached(ctx, 8)
	epoch := r.epoch(ctx)
	snapshot := postgrestest.TakeBackup(t, f.cfg.databaseURL)
	r.submit(ctx, 12)
	r.reached(ctx, 24)
	calmDown()
	breaking.Wait()
	f.start(ctx)
	r.recorded(ctx, epoch)
	for _, replica := range f.replicas {
		_ = replica.stop(syscall.SIGKILL)
	}
	snapshot.Replace(t, f.cfg.databaseURL)
	f.done.add("restored snapshots", 1)

	f.start(ctx)
	r.settleAndOpen(ctx)
	r.again(ctx)
	f.settle(ctx)
	f.drain()
	report := f.report(ctx)
	for _, v := range report.Violations {
		if slices.Contains(paidChecks, v.Check) {
			t.Error(v)
		}
	}
}

// paidChecks are the checks of the audit that hold after a restore as well.
var paidChecks = []string{"no task is paid for more often than it may be", "no task has more posts than attempts that were sent"}

// restore is a run in which the database is set back.
type restore struct {
	*fleet
	generator *generator
	orders    []order
}

// submit submits new orders, at the same time.
func (r *restore) submit(ctx context.Context, n int) {
	r.t.Helper()
	from := len(r.orders)
	for range n {
		r.orders = append(r.orders, r.generator.next())
	}
	r.send(ctx, r.orders[from:])
}

// again submits all orders again, as callers do that do not know what was lost.
func (r *restore) again(ctx context.Context) { r.send(ctx, r.orders) }

func (r *restore) send(ctx context.Context, orders []order) {
	r.t.Helper()
	client := r.dial()
	var callers sync.WaitGroup
	for _, o := range orders {
		callers.Go(func() {
			if _, err := r.fleet.submit(ctx, client, o); err != nil {
				r.t.Errorf("submit %s: %v", o.requestID, err)
			}
		})
	}
	callers.Wait()
}

// reached waits until that many requests have reached the provider.
func (r *restore) reached(ctx context.Context, n int) {
	r.t.Helper()
	if err := r.provider.Await(ctx, func() bool { return len(r.provider.Ledger()) >= n }); err != nil {
		r.t.Fatal(err)
	}
}

// epoch returns the epoch of the database.
func (r *restore) epoch(ctx context.Context) (epoch int64) {
	r.t.Helper()
	conn, err := pgx.Connect(ctx, r.cfg.databaseURL)
	if err != nil {
		r.t.Fatal("connect to the database")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.QueryRow(ctx, "SELECT epoch FROM installation").Scan(&epoch); err != nil {
		r.t.Fatal(err)
	}
	return epoch
}

// recorded waits until the bucket has a higher epoch than a snapshot, by which a start notices the restore.
func (r *restore) recorded(ctx context.Context, epoch int64) {
	r.t.Helper()
	for {
		files, err := filepath.Glob(filepath.Join(r.bucket, "fence", "*", "*"))
		if err != nil {
			r.t.Fatal(err)
		}
		if slices.ContainsFunc(files, func(name string) bool {
			n, err := strconv.ParseInt(filepath.Base(name), 10, 64)
			return err == nil && n > epoch+1 // The snapshot is taken after the look, and may have one more.
		}) {
			return
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			r.t.Fatal("the bucket has no newer epoch")
		}
	}
}

// settleAndOpen does what an operator does after a restore, and expects that admission was closed.
func (r *restore) settleAndOpen(ctx context.Context) {
	r.t.Helper()
	op := refractv1.NewOperatorServiceClient(r.connect())
	for {
		resp, err := op.GetAdmission(ctx, &refractv1.GetAdmissionRequest{}, grpc.WaitForReady(true))
		if err == nil && resp.GetAdmission().GetCloseReason() == refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_DATABASE_SET_BACK {
			break
		}
		if pauseErr := pause(ctx, 50*time.Millisecond); pauseErr != nil {
			r.t.Fatalf("admission does not close; it is %v, %v", resp.GetAdmission(), err)
		}
	}
	for { // What the snapshot has as begun is settled by a replica first. Later sends of the same task can be settled after that.
		for token, first := "", true; first || token != ""; first = false {
			resp, err := op.CheckRestore(ctx, &refractv1.CheckRestoreRequest{Settle: true, PageToken: token})
			if err != nil {
				r.t.Fatal(err)
			}
			token = resp.GetNextPageToken()
			r.done.add("forgotten sends", len(resp.GetAttempts()))
		}
		_, err := op.OpenAdmission(ctx, &refractv1.OpenAdmissionRequest{})
		if err == nil {
			return
		}
		if pauseErr := pause(ctx, 200*time.Millisecond); pauseErr != nil {
			r.t.Fatal(fmt.Errorf("open admission: %w", err))
		}
	}
}
