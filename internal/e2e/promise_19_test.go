package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/output"
	"github.com/refract-video/refract/internal/server"
)

const storageUnavailable = refractv1.WaitingCause_WAITING_CAUSE_STORAGE_UNAVAILABLE

// TestPromise19_NothingIsSpentThatCannotBeSaved removes the bucket while a result is paid for, and restores it.
//
// It fails when admission does not ask the storage watcher, and when tries of a save count that fail because of the
// storage.
func TestPromise19_NothingIsSpentThatCannotBeSaved(t *testing.T) {
	t.Parallel()
	callbacks := startGate(t)
	ts := startService(t, func(f *server.Config, c *simConfig) {
		everyProvider(f, c)
		f.Tuning.Save = output.Patience{Tries: 2}
		f.KIE.Poll, f.Luma.Poll = time.Hour, time.Hour // No check comes before the callbacks.
		f.CallbackURL, c.Kie.CallbackAttempts, c.Luma.CallbackAttempts = callbacks.url, 20_000, 20_000
	})
	callbacks.to(ts)
	awaitReady(t, ts, http.StatusOK)
	bucket := strings.TrimPrefix(ts.bucketURL, "file://")
	// These tasks are paid for, and their failed saves reveal the outage: the next probe is half a minute away.
	paid := ts.submit(t, "").GetId()
	expiring := ts.submit(t, "[sim:once]", func(r *refractv1.SubmitTaskRequest) { r.Provider = "luma" }).GetId() // Its link works only once.
	for _, id := range []string{paid, expiring} {
		ts.await(t, id, isRunning)
	}
	if err := os.Rename(bucket, bucket+".away"); err != nil {
		t.Fatal(err)
	}
	callbacks.open.Store(true)
	for _, id := range []string{paid, expiring} {
		ts.await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_SAVING })
	}
	awaitReady(t, ts, http.StatusServiceUnavailable)
	unpaid := ts.submit(t, "").GetId()
	for id, state := range map[string]refractv1.TaskState{paid: refractv1.TaskState_TASK_STATE_SAVING, unpaid: refractv1.TaskState_TASK_STATE_QUEUED} {
		eventually(t, "the task to say what it waits for", func() bool { return ts.get(t, id).GetWaiting().GetCause() == storageUnavailable })
		got := ts.get(t, id)
		if got.GetState() != state || !strings.Contains(got.GetWaiting().GetMessage(), "storage is missing") || strings.Contains(got.GetWaiting().GetMessage(), bucket) {
			t.Errorf("the task is %v, waiting %v; want %v, and the cause", got.GetState(), got.GetWaiting(), state)
		}
		_, answer := ts.rest(t, http.MethodGet, "/v1/tasks/"+id, "")
		var rest struct {
			Task struct{ Waiting struct{ Cause string } }
		}
		if err := json.Unmarshal(answer, &rest); err != nil || rest.Task.Waiting.Cause != storageUnavailable.String() {
			t.Errorf("REST says %s, want the cause", answer)
		}
	}
	op := ts.operator(t)
	accounts, err := op.ListProviderAccounts(op.ctx(t), &refractv1.ListProviderAccountsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts.GetAccounts() {
		if a.GetPause().GetCause() != storageUnavailable || a.GetPause().GetUntilTime() != nil || !strings.Contains(a.GetPause().GetReason(), "the storage is missing") {
			t.Errorf("account %v; want the pause of the storage", a)
		}
	}
	checkStorageUp(t, ts, "0")
	if ts.metric(t, "refract_storage_failures_total", `operation="put"`) == 0 {
		t.Error("the failures were not counted")
	}

	last := ts.end(t, expiring)
	if f := last.GetFailure(); f.GetReason() != refractv1.FailureReason_FAILURE_REASON_OUTPUT_UNAVAILABLE || !strings.Contains(f.GetMessage(), "our storage failed between") {
		t.Errorf("the task whose link expired ended %v, want a message that names the storage", last)
	}
	eventually(t, "more tries than a provider has", func() bool {
		return ask[int](t, ts.pool, `SELECT coalesce(max((metadata ->> 'snoozes')::int), 0) FROM river_job WHERE kind = 'save_outputs' AND args ->> 'attempt_id' =
			(SELECT id::text FROM attempt WHERE task_id = $1)`, paid) > 2
	})
	if n := len(ts.sim.Ledger()); n != 2 {
		t.Errorf("%d submissions reached a provider, want the two from before", n)
	}
	if got := ts.get(t, paid); got.GetState() != refractv1.TaskState_TASK_STATE_SAVING {
		t.Errorf("the paid task became %v", got)
	}

	if err := os.Rename(bucket+".away", bucket); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{paid, unpaid} {
		if last := ts.end(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Errorf("ended %v, want SUCCEEDED", last)
		}
	}
	awaitReady(t, ts, http.StatusOK)
	checkStorageUp(t, ts, "1")
	checkStorageLog(t, ts)
	if left, _ := filepath.Glob(filepath.Join(bucket, "outputs", "probe-*")); len(left) > 0 {
		t.Errorf("probes left %v", left)
	}
}

func checkStorageUp(t *testing.T, ts *testService, want string) {
	t.Helper()
	_, metrics := ts.rest(t, http.MethodGet, "/metrics", "")
	if !strings.Contains(string(metrics), "\nrefract_storage_up "+want+"\n") {
		t.Errorf("refract_storage_up is not %s", want)
	}
}

// awaitReady waits until a replica is ready or not ready, over HTTP and gRPC.
func awaitReady(t *testing.T, ts *testService, status int) {
	t.Helper()
	want := grpc_health_v1.HealthCheckResponse_SERVING
	if status != http.StatusOK {
		want = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	health := grpc_health_v1.NewHealthClient(dial(t, ts.GRPCAddr()))
	eventually(t, "readiness to be "+want.String(), func() bool {
		got, _ := ts.rest(t, http.MethodGet, "/readyz", "")
		resp, err := health.Check(ts.anonymous(t), &grpc_health_v1.HealthCheckRequest{})
		return got == status && err == nil && resp.GetStatus() == want
	})
}

// checkStorageLog expects one line for the failure of the storage, and one for its recovery.
func checkStorageLog(t *testing.T, ts *testService) {
	t.Helper()
	log := ts.log.String()
	if n := strings.Count(log, "results can't be stored; the replica is not ready"); n != 1 {
		t.Errorf("%d lines say that the storage fails, want one", n)
	}
	for _, words := range []string{`cause="the storage is missing"`, "bucket=" + ts.bucketURL, "no such file or directory", "results can be stored again"} {
		if !strings.Contains(log, words) {
			t.Errorf("the log lacks %s:\n%s", words, log)
		}
	}
}

// TestPromise19_AReplicaWhoseStorageFailsLeavesTheWorkToOthers starts one replica with a bucket that does not work, and
// one with a bucket that does.
//
// It fails when admission does not ask the storage watcher.
func TestPromise19_AReplicaWhoseStorageFailsLeavesTheWorkToOthers(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, nil)
	folder := strings.TrimPrefix(fleet.flags.Bucket, "file://")
	blocker := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fleet.flags.Bucket = "file://" + filepath.Join(blocker, "bucket")
	broken := fleet.start(t)
	awaitReady(t, broken, http.StatusServiceUnavailable)
	id := broken.submit(t, "").GetId()
	eventually(t, "the task to wait for the storage", func() bool { return broken.get(t, id).GetWaiting().GetCause() == storageUnavailable })

	started := ask[time.Time](t, fleet.pool, `SELECT now()`)
	fleet.flags.Bucket = "file://" + folder
	works := fleet.start(t)
	if last := broken.end(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED", last)
	}
	if admitted := broken.get(t, id).GetAttempt().GetCreateTime().AsTime(); admitted.Before(started) {
		t.Errorf("the task was admitted at %s, and the replica that can save it started at %s", admitted, started)
	}
	awaitReady(t, works, http.StatusOK)
	awaitReady(t, broken, http.StatusServiceUnavailable)
	if log := broken.log.String(); !strings.Contains(log, "results can't be stored; the replica is not ready") || !strings.Contains(log, "bucket=file://"+blocker) {
		t.Errorf("the log of the replica does not say that its bucket fails:\n%s", log)
	}
}
