package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

const (
	admissionClosed = refractv1.WaitingCause_WAITING_CAUSE_ADMISSION_CLOSED
	databaseSetBack = refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_DATABASE_SET_BACK
	bucketSetBack   = refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_BUCKET_SET_BACK
)

// busy configures a service in which tasks wait, are sent and run at the same time.
func busy(f *server.Config, c *simConfig) {
	unlimited(f, c)
	f.KIE.Limits = []string{"20/1s/1000"}
	c.Processing = time.Second
}

// load is callers who submit tasks, and remember them.
type load struct {
	mu       sync.Mutex
	requests []*refractv1.SubmitTaskRequest
}

// submit submits n tasks with prompts of their own.
func (l *load) submit(t *testing.T, ts *testService, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		req := goodRequest()
		req.Prompt = fmt.Sprintf("A neon city, take %d", len(l.requests))
		if _, err := ts.tasks.SubmitTask(ts.ctx(t), req); err != nil {
			t.Fatal(err)
		}
		l.requests = append(l.requests, req)
	}
}

// again submits some of the tasks again, as callers do that do not know what a restore has lost, and returns the ids.
func again(t *testing.T, ts *testService, requests []*refractv1.SubmitTaskRequest) []string {
	t.Helper()
	ids := make([]string, len(requests))
	for i, req := range requests {
		resp, err := ts.tasks.SubmitTask(ts.ctx(t), req)
		if err != nil {
			t.Fatalf("submit %q again: %v", req.GetPrompt(), err)
		}
		ids[i] = resp.GetTask().GetId()
	}
	return ids
}

// checkPaidOnce expects that each task succeeded, and was paid for once.
func (l *load) checkPaidOnce(t *testing.T, ts *testService, ids []string) {
	t.Helper()
	for _, id := range ids {
		if last := ts.end(t, id); last.GetState() != succeeded {
			t.Errorf("task %s ended %v, want SUCCEEDED", id, last)
		}
	}
	paid := sim.CountPaid(ts.sim.Ledger(), sim.ByPrompt)
	total := 0
	for _, req := range l.requests {
		if n := paid[req.GetPrompt()]; n != 1 {
			t.Errorf("%q was paid for %d times, want once", req.GetPrompt(), n)
		}
	}
	for _, n := range paid {
		total += n
	}
	if total != len(l.requests) {
		t.Errorf("%d payments for %d tasks", total, len(l.requests))
	}
}

// paidAtLeast waits until the provider was paid n times.
func paidAtLeast(t *testing.T, s *sim.Server, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	if err := s.Await(ctx, func() bool {
		paid := 0
		for _, count := range sim.CountPaid(s.Ledger(), sim.ByPrompt) {
			paid += count
		}
		return paid >= n
	}); err != nil {
		t.Fatal(err)
	}
}

// TestPromise18_ARestoredBackupNeverPaysTwice takes a backup during load, goes on, stops, and starts on the restored backup. Some of what
// was sent after the backup is QUEUED there, some is SUBMITTING, and some is not there at all. The callers submit all of it again, some
// before admission opens and some afterwards.
//
// It fails when begin (internal/lifecycle/records.go) ignores the record of an earlier send, and when check (internal/fence/fence.go)
// compares no epochs.
func TestPromise18_ARestoredBackupNeverPaysTwice(t *testing.T) {
	t.Parallel()
	f := startFleet(t, busy)
	original := f.start(t)
	var l load
	l.submit(t, original, 60)
	paidAtLeast(t, f.sim, 15)
	backup, epoch := f.backup(t), f.epoch(t)
	l.submit(t, original, 20)
	paidAtLeast(t, f.sim, 75)
	f.awaitEpochAfter(t, epoch)
	original.stop()
	before := len(f.sim.Ledger())

	f.restore(t, backup)
	restored := f.start(t)
	op := restored.operator(t)
	eventually(t, "admission to be closed", func() bool { return op.admission(t).GetCloseReason() == databaseSetBack })
	ids := again(t, restored, l.requests[:70]) // The last ones follow when admission is open.
	eventually(t, "a task to wait for admission", func() bool {
		return slices.ContainsFunc(ids, func(id string) bool { return restored.get(t, id).GetWaiting().GetCause() == admissionClosed })
	})
	if _, err := op.OpenAdmission(op.ctx(t), &refractv1.OpenAdmissionRequest{}); refusalOf(err).Reason != "RESTORE_NOT_SETTLED" {
		t.Errorf("admission opens before the tasks are settled: %v", err)
	}
	if n := len(f.sim.Ledger()); n != before {
		t.Errorf("%d requests were sent while admission was closed", n-before)
	}
	out := op.command(t, "restore-check", "--settle", "--open")
	if !strings.Contains(out, "admission is open") {
		t.Errorf("refract restore-check says:\n%s", out)
	}
	l.checkPaidOnce(t, restored, append(ids, again(t, restored, l.requests[70:])...))
	if status, metrics := restored.rest(t, http.MethodGet, "/metrics", ""); status != http.StatusOK || !strings.Contains(string(metrics), "\nrefract_admission_open 1\n") {
		t.Error("the metrics do not say that admission is open")
	}
}

// TestPromise18_AFailoverThatLosesCommitsNeverPaysTwice puts the database back to an earlier state while two replicas use it. They go on
// sending until they notice.
//
// It fails when begin (internal/lifecycle/records.go) ignores the record of an earlier send, and now and then without EnqueueMissing.
func TestPromise18_AFailoverThatLosesCommitsNeverPaysTwice(t *testing.T) {
	t.Parallel()
	f := startFleet(t, busy)
	replicas := f.startAll(t, 2)
	var l load
	l.submit(t, replicas[0], 60)
	paidAtLeast(t, f.sim, 15)
	backup, epoch := f.backup(t), f.epoch(t)
	l.submit(t, replicas[0], 10)
	paidAtLeast(t, f.sim, 65)
	f.awaitEpochAfter(t, epoch)
	backup.Replace(t, f.flags.DatabaseURL.Reveal())

	op := replicas[1].operator(t)
	eventually(t, "admission to be closed", func() bool {
		resp, err := op.GetAdmission(op.ctx(t), &refractv1.GetAdmissionRequest{})
		return err == nil && resp.GetAdmission().GetCloseReason() == databaseSetBack
	})
	if out := op.command(t, "restore-check", "--settle", "--open"); !strings.Contains(out, "admission is open") {
		t.Errorf("refract restore-check says:\n%s", out)
	}
	l.checkPaidOnce(t, replicas[1], again(t, replicas[1], l.requests))
}

// TestPromise18_ACloneWithAnotherBucketSendsNothing starts a copy of a database with an empty bucket.
//
// It fails when check (internal/fence/fence.go) does not ask for epochs that are missing.
func TestPromise18_ACloneWithAnotherBucketSendsNothing(t *testing.T) {
	t.Parallel()
	f := startFleet(t, busy)
	original := f.start(t)
	op := original.operator(t)
	if _, err := op.CloseAdmission(op.ctx(t), &refractv1.CloseAdmissionRequest{Reason: "maintenance"}); err != nil {
		t.Fatal(err)
	}
	var l load
	l.submit(t, original, 3)
	eventually(t, "the database to have an epoch", func() bool { return f.epoch(t) > 0 })
	backup := f.backup(t)

	c := *f
	c.restore(t, backup)
	c.flags.Bucket = "file://" + filepath.Join(t.TempDir(), "bucket")
	clone := c.start(t)
	other := clone.operator(t)
	eventually(t, "the clone to close admission", func() bool { return other.admission(t).GetCloseReason() == bucketSetBack })
	if _, err := other.OpenAdmission(other.ctx(t), &refractv1.OpenAdmissionRequest{}); refusalOf(err).Reason != "RESTORE_NOT_SETTLED" {
		t.Errorf("admission opens without records: %v", err)
	}
	if out := op.command(t, "admission", "open"); !strings.Contains(out, "admission is open") {
		t.Errorf("refract admission open says:\n%s", out)
	}
	l.checkPaidOnce(t, original, again(t, original, l.requests))
	if out := other.command(t, "admission", "show"); !strings.Contains(out, "BUCKET_SET_BACK") {
		t.Errorf("refract admission show says:\n%s", out)
	}
	if out := other.command(t, "admission", "open", "--accept-unknown"); !strings.Contains(out, "admission is open") {
		t.Errorf("refract admission open --accept-unknown says:\n%s", out)
	}
}

// restore makes a backup the database of the fleet.
func (f *fleet) restore(t *testing.T, backup postgrestest.Backup) {
	t.Helper()
	f.flags.DatabaseURL = redact.Secret(backup.Restore(t) + fewConnections)
	f.pool = postgrestest.Connect(t, f.flags.DatabaseURL.Reveal())
}

// admission returns whether admission is open.
func (o operator) admission(t *testing.T) *refractv1.Admission {
	t.Helper()
	resp, err := o.GetAdmission(o.ctx(t), &refractv1.GetAdmissionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetAdmission()
}

// backup copies the database of the fleet while it is in use.
func (f *fleet) backup(t *testing.T) postgrestest.Backup {
	t.Helper()
	return postgrestest.TakeBackup(t, strings.TrimSuffix(f.flags.DatabaseURL.Reveal(), fewConnections))
}

// epoch returns the epoch of the database.
func (f *fleet) epoch(t *testing.T) int64 {
	t.Helper()
	return ask[int64](t, f.pool, "SELECT epoch FROM installation")
}

// awaitEpochAfter waits until the bucket has an epoch that a backup with the given one lacks.
func (f *fleet) awaitEpochAfter(t *testing.T, epoch int64) {
	t.Helper()
	bucket, err := media.OpenBucket(t.Context(), f.flags.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bucket.Close() }()
	eventually(t, "the bucket to have a newer epoch", func() bool {
		keys, err := bucket.Keys(t.Context(), "fence/", 100)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(keys, func(key string) bool {
			n, err := strconv.ParseInt(path.Base(key), 10, 64)
			return err == nil && n > epoch
		})
	})
}
