package promises_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

const (
	admissionClosed = refractv1.WaitingCause_WAITING_CAUSE_ADMISSION_CLOSED
	databaseSetBack = refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_DATABASE_SET_BACK
	bucketSetBack   = refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_BUCKET_SET_BACK
)

// busy configures a service in which tasks wait, are sent and run at the same time.
func busy(f *server.Config, c *e2etest.SimConfig) {
	e2etest.Unlimited(f, c)
	f.KIE.Limits = []string{"5/1s/1000"}
	c.Processing = time.Second
}

// load is callers who submit tasks, and remember them.
type load struct {
	mu       sync.Mutex
	requests []*refractv1.SubmitTaskRequest
}

// submit submits n tasks with prompts of their own.
func (l *load) submit(t *testing.T, ts *e2etest.Service, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		req := e2etest.GoodRequest()
		req.Prompt = fmt.Sprintf("A neon city, take %d", len(l.requests))
		if _, err := ts.Tasks.SubmitTask(ts.Ctx(t), req); err != nil {
			t.Fatal(err)
		}
		l.requests = append(l.requests, req)
	}
}

// again submits some of the tasks again, as callers do that do not know what a restore has lost, and returns the ids.
func again(t *testing.T, ts *e2etest.Service, requests []*refractv1.SubmitTaskRequest) []string {
	t.Helper()
	ids := make([]string, len(requests))
	for i, req := range requests {
		resp, err := ts.Tasks.SubmitTask(ts.Ctx(t), req)
		if err != nil {
			t.Fatalf("submit %q again: %v", req.GetPrompt(), err)
		}
		ids[i] = resp.GetTask().GetId()
	}
	return ids
}

// checkPaidOnce expects that each task succeeded, and was paid for once.
func (l *load) checkPaidOnce(t *testing.T, ts *e2etest.Service, ids []string) {
	t.Helper()
	for _, id := range ids {
		if last := ts.End(t, id); last.GetState() != e2etest.Succeeded {
			t.Errorf("task %s ended %v, want SUCCEEDED", id, last)
		}
	}
	paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt)
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
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
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

// TestPromise18_ARestoredBackupNeverPaysTwice takes a backup during load, goes on, stops, and starts on the restored backup. What
// was sent after the backup is not there at all, or QUEUED or SUBMITTING, as the backup found it. The callers submit all of it again, some
// before admission opens and some afterwards.
//
// It fails when begin (internal/lifecycle/records.go) ignores the record of an earlier send, and when check (internal/fence/fence.go)
// compares no epochs.
func TestPromise18_ARestoredBackupNeverPaysTwice(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, busy)
	original := f.Start(t)
	var l load
	l.submit(t, original, 20)
	paidAtLeast(t, f.Sim, 5)
	backup, epoch := f.Backup(t), f.Epoch(t)
	l.submit(t, original, 8)
	paidAtLeast(t, f.Sim, 26)
	f.AwaitEpochAfter(t, epoch)
	original.Stop()
	before := len(f.Sim.Ledger())

	f.Restore(t, backup)
	if stored := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM task"); stored >= len(l.requests) {
		t.Errorf("the backup has %d tasks of %d, want some missing", stored, len(l.requests))
	}
	restored := f.Start(t)
	op := restored.Operator(t)
	e2etest.Eventually(t, "admission to be closed", func() bool { return op.Admission(t).GetCloseReason() == databaseSetBack })
	ids := again(t, restored, l.requests[:24]) // The last ones follow when admission is open.
	e2etest.Eventually(t, "a task to wait for admission", func() bool {
		return slices.ContainsFunc(ids, func(id string) bool { return restored.Get(t, id).GetWaiting().GetCause() == admissionClosed })
	})
	if _, err := op.OpenAdmission(op.Ctx(t), &refractv1.OpenAdmissionRequest{}); e2etest.RefusalOf(err).Reason != "RESTORE_NOT_SETTLED" {
		t.Errorf("admission opens before the tasks are settled: %v", err)
	}
	if n := len(f.Sim.Ledger()); n != before {
		t.Errorf("%d requests were sent while admission was closed", n-before)
	}
	out := op.Command(t, "restore-check", "--settle", "--open")
	if !strings.Contains(out, "admission is open") {
		t.Errorf("refract restore-check says:\n%s", out)
	}
	l.checkPaidOnce(t, restored, append(ids, again(t, restored, l.requests[24:])...))
	if status, metrics := restored.Rest(t, http.MethodGet, "/metrics", ""); status != http.StatusOK || !strings.Contains(string(metrics), "\nrefract_admission_open 1\n") {
		t.Error("the metrics do not say that admission is open")
	}
}

// TestPromise18_AFailoverThatLosesCommitsNeverPaysTwice puts the database back to an earlier state while two replicas use it. They go on
// sending until they notice.
//
// It fails when begin (internal/lifecycle/records.go) ignores the record of an earlier send, and now and then without EnqueueMissing.
func TestPromise18_AFailoverThatLosesCommitsNeverPaysTwice(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, busy)
	replicas := f.StartAll(t, 2)
	var l load
	l.submit(t, replicas[0], 15)
	paidAtLeast(t, f.Sim, 5)
	backup, epoch := f.Backup(t), f.Epoch(t)
	l.submit(t, replicas[0], 4)
	paidAtLeast(t, f.Sim, 17)
	f.AwaitEpochAfter(t, epoch)
	backup.Replace(t, f.Config.DatabaseURL.Reveal())

	op := replicas[1].Operator(t)
	e2etest.Eventually(t, "admission to be closed", func() bool {
		resp, err := op.GetAdmission(op.Ctx(t), &refractv1.GetAdmissionRequest{})
		return err == nil && resp.GetAdmission().GetCloseReason() == databaseSetBack
	})
	if out := op.Command(t, "restore-check", "--settle", "--open"); !strings.Contains(out, "admission is open") {
		t.Errorf("refract restore-check says:\n%s", out)
	}
	l.checkPaidOnce(t, replicas[1], again(t, replicas[1], l.requests))
}

// TestPromise18_ACloneWithAnotherBucketSendsNothing starts a copy of a database with an empty bucket.
//
// It fails when check (internal/fence/fence.go) does not ask for epochs that are missing.
func TestPromise18_ACloneWithAnotherBucketSendsNothing(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, busy)
	original := f.Start(t)
	op := original.Operator(t)
	if _, err := op.CloseAdmission(op.Ctx(t), &refractv1.CloseAdmissionRequest{Reason: "maintenance"}); err != nil {
		t.Fatal(err)
	}
	var l load
	l.submit(t, original, 3)
	e2etest.Eventually(t, "the database to have an epoch", func() bool { return f.Epoch(t) > 0 })
	backup := f.Backup(t)

	c := *f
	c.Restore(t, backup)
	c.Config.Bucket = "file://" + filepath.Join(t.TempDir(), "bucket")
	clone := c.Start(t)
	other := clone.Operator(t)
	e2etest.Eventually(t, "the clone to close admission", func() bool { return other.Admission(t).GetCloseReason() == bucketSetBack })
	if _, err := other.OpenAdmission(other.Ctx(t), &refractv1.OpenAdmissionRequest{}); e2etest.RefusalOf(err).Reason != "RESTORE_NOT_SETTLED" {
		t.Errorf("admission opens without records: %v", err)
	}
	if out := op.Command(t, "admission", "open"); !strings.Contains(out, "admission is open") {
		t.Errorf("refract admission open says:\n%s", out)
	}
	l.checkPaidOnce(t, original, again(t, original, l.requests))
	if out := other.Command(t, "admission", "show"); !strings.Contains(out, "BUCKET_SET_BACK") {
		t.Errorf("refract admission show says:\n%s", out)
	}
	if out := other.Command(t, "admission", "open", "--accept-unknown"); !strings.Contains(out, "admission is open") {
		t.Errorf("refract admission open --accept-unknown says:\n%s", out)
	}
}
