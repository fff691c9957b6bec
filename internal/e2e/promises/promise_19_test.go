package promises_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/output"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/task"
)

// TestPromise19_NothingIsSpentThatCannotBeSaved removes the bucket while a result is paid for, and restores it.
//
// It fails when admission does not ask the storage watcher, and when tries of a save count that fail because of the
// storage. Without the watcher nothing would be spent either, because a send needs its record in the bucket. But queued tasks
// would be admitted and given back again and again.
func TestPromise19_NothingIsSpentThatCannotBeSaved(t *testing.T) {
	t.Parallel()
	callbacks := e2etest.StartGate(t)
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		f.Tuning.Save = output.Patience{Tries: 2}
		f.KIE.Poll, f.Luma.Poll = time.Hour, time.Hour // No check comes before the callbacks.
		f.CallbackURL, c.Kie.CallbackAttempts, c.Luma.CallbackAttempts = callbacks.URL, 20_000, 20_000
	})
	callbacks.To(ts)
	e2etest.AwaitReady(t, ts, http.StatusOK)
	bucket := strings.TrimPrefix(ts.BucketURL, "file://")
	// These tasks are paid for, and their failed saves reveal the outage: the next probe is half a minute away.
	paid := ts.Submit(t, "").GetId()
	expiring := ts.Submit(t, "[sim:once]", func(r *refractv1.SubmitTaskRequest) { r.Provider = "luma" }).GetId() // Its link works only once.
	for _, id := range []string{paid, expiring} {
		ts.Await(t, id, e2etest.IsRunning)
	}
	if err := os.Rename(bucket, bucket+".away"); err != nil {
		t.Fatal(err)
	}
	callbacks.Open.Store(true)
	for _, id := range []string{paid, expiring} {
		ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_SAVING })
	}
	e2etest.AwaitReady(t, ts, http.StatusServiceUnavailable)
	unpaid := ts.Submit(t, "").GetId()
	for id, state := range map[string]refractv1.TaskState{paid: refractv1.TaskState_TASK_STATE_SAVING, unpaid: refractv1.TaskState_TASK_STATE_QUEUED} {
		e2etest.Eventually(t, "the task to say what it waits for", func() bool { return ts.Get(t, id).GetWaiting().GetCause() == e2etest.StorageUnavailable })
		got := ts.Get(t, id)
		if got.GetState() != state || !strings.Contains(got.GetWaiting().GetMessage(), "storage is missing") || strings.Contains(got.GetWaiting().GetMessage(), bucket) {
			t.Errorf("the task is %v, waiting %v; want %v, and the cause", got.GetState(), got.GetWaiting(), state)
		}
		_, answer := ts.Rest(t, http.MethodGet, "/v1/tasks/"+id, "")
		var rest struct {
			Task struct{ Waiting struct{ Cause string } }
		}
		if err := json.Unmarshal(answer, &rest); err != nil || rest.Task.Waiting.Cause != e2etest.StorageUnavailable.String() {
			t.Errorf("REST says %s, want the cause", answer)
		}
	}
	op := ts.Operator(t)
	accounts, err := op.ListProviderAccounts(op.Ctx(t), &refractv1.ListProviderAccountsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts.GetAccounts() {
		if a.GetPause().GetCause() != e2etest.StorageUnavailable || a.GetPause().GetUntilTime() != nil || !strings.Contains(a.GetPause().GetReason(), "the storage is missing") {
			t.Errorf("account %v; want the pause of the storage", a)
		}
	}
	e2etest.CheckStorageUp(t, ts, "0")
	if ts.Metric(t, "refract_storage_failures_total", `operation="put"`) == 0 {
		t.Error("the failures were not counted")
	}

	last := ts.End(t, expiring)
	if f := last.GetFailure(); f.GetReason() != refractv1.FailureReason_FAILURE_REASON_OUTPUT_UNAVAILABLE || !strings.Contains(f.GetMessage(), "our storage failed between") {
		t.Errorf("the task whose link expired ended %v, want a message that names the storage", last)
	}
	e2etest.Eventually(t, "more tries than a provider has", func() bool {
		return postgrestest.Value[int](t, ts.Pool, `SELECT coalesce(max((metadata ->> 'snoozes')::int), 0) FROM river_job WHERE kind = 'save_outputs' AND args ->> 'attempt_id' =
			(SELECT id::text FROM attempt WHERE task_id = $1)`, paid) > 2
	})
	if n := len(ts.Sim.Ledger()); n != 2 {
		t.Errorf("%d submissions reached a provider, want the two from before", n)
	}
	if got := ts.Get(t, paid); got.GetState() != refractv1.TaskState_TASK_STATE_SAVING {
		t.Errorf("the paid task became %v", got)
	}
	checkAdmittedOnce(t, ts, unpaid)

	if err := os.Rename(bucket+".away", bucket); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{paid, unpaid} {
		if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Errorf("ended %v, want SUCCEEDED", last)
		}
	}
	e2etest.AwaitReady(t, ts, http.StatusOK)
	e2etest.CheckStorageUp(t, ts, "1")
	checkStorageLog(t, ts)
	if left, _ := filepath.Glob(filepath.Join(bucket, "outputs", "probe-*")); len(left) > 0 {
		t.Errorf("probes left %v", left)
	}
}

// checkAdmittedOnce expects that a task was admitted at most once while the storage failed: by a round that was under way when the
// failure became known. Without the watcher, it is admitted every few seconds.
func checkAdmittedOnce(t *testing.T, ts *e2etest.Service, id string) {
	t.Helper()
	if n := postgrestest.Value[int](t, ts.Pool, `SELECT count(*) FROM attempt WHERE task_id = $1`, id); n > 1 {
		t.Errorf("the task was admitted %d times while the storage failed", n)
	}
}

// checkLeavesJobs expects that a replica leaves a new job to others for five seconds before it takes it.
//
// The job is that of an attempt that retention has removed, so it is canceled as soon as a replica takes it.
func checkLeavesJobs(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	const insert = `INSERT INTO river_job (kind, queue, args, max_attempts) VALUES ($1, $1, jsonb_build_object('attempt_id', gen_random_uuid()), 1) RETURNING id`
	job := postgrestest.Value[int64](t, ts.Pool, insert, task.SubmitAttempt{}.Kind())
	const left = `SELECT coalesce(max(extract(epoch FROM finalized_at - scheduled_at)), 0)::float8 FROM river_job WHERE id = $1 AND state = 'cancelled'`
	e2etest.Eventually(t, "the replica to take the job", func() bool { return postgrestest.Value[float64](t, ts.Pool, left, job) > 0 })
	if seconds := postgrestest.Value[float64](t, ts.Pool, left, job); seconds < 4 { // The replica estimates the clock of the database.
		t.Errorf("the replica took a job after %.1f s, want it to leave the job to others for 5 s", seconds)
	}
}

// checkStorageLog expects one line for the failure of the storage, and one for its recovery.
func checkStorageLog(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	log := ts.Log.String()
	if n := strings.Count(log, "results can't be stored; the replica is not ready"); n != 1 {
		t.Errorf("%d lines say that the storage fails, want one", n)
	}
	for _, words := range []string{`cause="the storage is missing"`, "bucket=" + ts.BucketURL, "no such file or directory", "results can be stored again"} {
		if !strings.Contains(log, words) {
			t.Errorf("the log lacks %s:\n%s", words, log)
		}
	}
}

// TestPromise19_AReplicaWhoseStorageFailsLeavesTheWorkToOthers has one replica whose bucket stops working, and then one whose
// bucket works.
//
// It fails when admission does not ask the storage watcher, and when the replica takes new jobs at once.
func TestPromise19_AReplicaWhoseStorageFailsLeavesTheWorkToOthers(t *testing.T) {
	t.Parallel()
	fleet := e2etest.StartFleet(t, nil)
	folder := strings.TrimPrefix(fleet.Config.Bucket, "file://")
	// The replica sees the folder through a mount of its own.
	mount := filepath.Join(t.TempDir(), "mount")
	if err := errors.Join(os.MkdirAll(folder, 0o750), os.Symlink(folder, mount)); err != nil {
		t.Fatal(err)
	}
	fleet.Config.Bucket = "file://" + mount
	broken := fleet.Start(t)
	if last := broken.End(t, broken.Submit(t, "").GetId()); last.GetState() != e2etest.Succeeded {
		t.Fatalf("with the bucket a task ended %v", last)
	}
	if err := os.Remove(mount); err != nil {
		t.Fatal(err)
	}
	clip := e2etest.DistinctClip(t.Name())
	if _, err := broken.Send(t, broken.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}, clip); err == nil {
		t.Fatal("an upload was stored in the missing bucket") // The failed one reveals that it is missing.
	}
	e2etest.AwaitReady(t, broken, http.StatusServiceUnavailable)
	id := broken.Submit(t, "").GetId()
	e2etest.Eventually(t, "the task to wait for the storage", func() bool { return broken.Get(t, id).GetWaiting().GetCause() == e2etest.StorageUnavailable })

	const failures = "refract_storage_failures_total"
	seen := broken.Metric(t, failures, `operation="put"`)
	e2etest.Eventually(t, "four more files that can't be stored", func() bool { return broken.Metric(t, failures, `operation="put"`) > seen+3 })
	checkAdmittedOnce(t, broken, id)
	checkLeavesJobs(t, broken)
	started := postgrestest.Value[time.Time](t, fleet.Pool, `SELECT now()`)
	fleet.Config.Bucket = "file://" + folder
	works := fleet.Start(t)
	if last := broken.End(t, id); last.GetState() != e2etest.Succeeded {
		t.Errorf("ended %v, want SUCCEEDED", last)
	}
	if admitted := broken.Get(t, id).GetAttempt().GetCreateTime().AsTime(); admitted.Before(started) {
		t.Errorf("the task was admitted at %s, and the replica that can save it started at %s", admitted, started)
	}
	e2etest.AwaitReady(t, works, http.StatusOK)
	e2etest.AwaitReady(t, broken, http.StatusServiceUnavailable)
	if log := broken.Log.String(); !strings.Contains(log, "results can't be stored; the replica is not ready") || !strings.Contains(log, "bucket=file://"+mount) {
		t.Errorf("the log of the replica does not say that its bucket fails:\n%s", log)
	}
}
