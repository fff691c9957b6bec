package operation_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestSIGKILL_BetweenSubmitAndCallbackLosesNothing kills the service while a task waits for its callback. The callback
// fails at first. The restarted service must take it, and nothing may be paid for twice.
func TestSIGKILL_BetweenSubmitAndCallbackLosesNothing(t *testing.T) {
	t.Parallel()
	provider, err := sim.Start(sim.Config{}, simkie.Profile{WebhookKey: e2etest.WebhookKey, CallbackAttempts: 20_000, CallbackSpacing: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	gate := e2etest.StartGate(t)
	database := postgrestest.URL(t)
	args := []string{
		"--database-url=" + e2etest.FewConnections(database), "--bucket=file://" + filepath.Join(t.TempDir(), "bucket"), "--auth=none", "--allow-private",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
		"--kie-url=" + provider.URL(), "--kie-api-key=any", "--kie-webhook-key=" + e2etest.WebhookKey, "--callback-url=" + gate.URL,
	}
	first := e2etest.StartProcess(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	submitted, err := first.Tasks.SubmitTask(ctx, e2etest.GoodRequest())
	if err != nil {
		t.Fatal(err)
	}
	if err := provider.Await(ctx, func() bool { return len(provider.Ledger()) == 1 }); err != nil {
		t.Fatal(err)
	}
	e2etest.WaitFor(ctx, t, first.Tasks, submitted.GetTask().GetId(), refractv1.TaskState_TASK_STATE_RUNNING)
	first.Kill()
	if err := provider.Await(ctx, func() bool { return len(provider.Deliveries()) > 0 }); err != nil {
		t.Fatal(err)
	}

	postgrestest.Exec(t, postgrestest.Connect(t, database), "UPDATE attempt SET next_check_time = now() + interval '1 day'") // Only the callback ends the task.

	second := e2etest.StartProcess(t, args...)
	gate.ToAddress(second.Ingress)
	gate.Open.Store(true)
	last := e2etest.WaitFor(ctx, t, second.Tasks, submitted.GetTask().GetId(), refractv1.TaskState_TASK_STATE_SUCCEEDED)
	if len(last.GetOutputs()) != 1 {
		t.Errorf("ended with %v, want an output", last)
	}
	if paid := sim.CountPaid(provider.Ledger(), sim.ByPrompt)["A neon city"]; paid != 1 {
		t.Errorf("paid %d times, want once", paid)
	}
}

// TestSIGTERM_Drains stops the service while a stream is open, and expects a clean end.
func TestSIGTERM_Drains(t *testing.T) {
	t.Parallel()
	provider, err := sim.Start(sim.Config{Processing: time.Hour}, simkie.Profile{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	p := e2etest.StartProcess(t, "--database-url="+e2etest.FewConnections(postgrestest.URL(t)), "--bucket=file://"+filepath.Join(t.TempDir(), "bucket"), "--auth=none", "--allow-private",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0", "--kie-url="+provider.URL(), "--kie-api-key="+e2etest.APIKey, "--kie-webhook-key="+e2etest.WebhookKey)
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	submitted, err := p.Tasks.SubmitTask(ctx, e2etest.GoodRequest())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := p.Tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: submitted.GetTask().GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if got := e2etest.RefusalOf(err); got.Reason != "SHUTTING_DOWN" {
		t.Errorf("the stream ended with %v, want UNAVAILABLE with SHUTTING_DOWN", err)
	}
	<-p.Drained
	if err := p.Cmd.Wait(); err != nil {
		t.Errorf("the service ended with %v, want success:\n%s", err, p.Log)
	}
	for _, secret := range []string{postgrestest.Password, e2etest.APIKey, e2etest.WebhookKey} {
		if strings.Contains(p.Log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, p.Log)
		}
	}
}

// TestSIGTERM_CutsASaveThatGoesOnAfterwards stops the service in the middle of a slow download.
func TestSIGTERM_CutsASaveThatGoesOnAfterwards(t *testing.T) {
	t.Parallel()
	if left := interruptSave(t, func(t *testing.T, p *e2etest.Process) { t.Helper(); p.Terminate(t) }); left != 0 {
		t.Errorf("%d unfinished files are left", left)
	}
}

// TestSIGKILL_DuringASaveIsMadeUpForAfterwards kills the service there, so that the save's end is not recorded.
func TestSIGKILL_DuringASaveIsMadeUpForAfterwards(t *testing.T) {
	t.Parallel()
	if left := interruptSave(t, func(_ *testing.T, p *e2etest.Process) { p.Kill() }); left != 1 {
		t.Errorf("%d unfinished files were left, want the one that the start after the next removes", left)
	}
}

// interruptSave ends a service in the middle of a slow download, and expects another one to finish it soon, and once.
// It returns how many unfinished files were left. They are removed once they are old.
func interruptSave(t *testing.T, stop func(*testing.T, *e2etest.Process)) int {
	t.Helper()
	bucket := filepath.Join(t.TempDir(), "bucket")
	provider, err := sim.Start(sim.Config{}, simkie.Profile{WebhookKey: e2etest.WebhookKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	args := []string{
		"--database-url=" + e2etest.FewConnections(postgrestest.URL(t)), "--bucket=file://" + bucket, "--auth=none", "--allow-private",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
		"--kie-url=" + provider.URL(), "--kie-api-key=any", "--kie-webhook-key=" + e2etest.WebhookKey,
	}
	first := e2etest.StartProcess(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	req := e2etest.GoodRequest()
	req.Prompt += " [sim:slow=5s]"
	submitted, err := first.Tasks.SubmitTask(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if err := provider.Await(ctx, func() bool { return len(provider.Downloads()) > 0 }); err != nil {
		t.Fatal(err)
	}
	unfinishedFiles := func() int { _, left := filesOf(t, bucket); return len(left) }
	e2etest.Eventually(t, "half a file is there", func() bool { return unfinishedFiles() > 0 })
	stop(t, first)
	if n := len(provider.Downloads()); n != 1 {
		t.Errorf("%d downloads began before the stop, want 1", n)
	}
	second := e2etest.StartProcess(t, args...)
	last := e2etest.WaitFor(ctx, t, second.Tasks, submitted.GetTask().GetId(), refractv1.TaskState_TASK_STATE_SUCCEEDED)
	second.Kill()
	finished, unfinished := filesOf(t, bucket)
	if len(finished) != 1 || len(last.GetOutputs()) != 1 {
		t.Fatalf("the bucket holds %v, and the task has %v; want one file", finished, last.GetOutputs())
	}
	file, err := os.ReadFile(finished[0])
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != last.GetOutputs()[0].GetSha256() {
		t.Errorf("the file has SHA-256 %x, the output %s", sum, last.GetOutputs()[0].GetSha256())
	}
	if len(unfinished) == 0 {
		return 0
	}
	for _, name := range unfinished {
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	e2etest.StartProcess(t, args...)
	e2etest.Eventually(t, "what was left is swept", func() bool { return unfinishedFiles() == 0 })
	return len(unfinished)
}

// filesOf lists the finished and the unfinished results in the folder of a bucket.
func filesOf(t *testing.T, bucket string) (finished, unfinished []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(bucket, "outputs"), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && entry.IsDir():
		case strings.HasSuffix(path, ".tmp"):
			unfinished = append(unfinished, path)
		default:
			finished = append(finished, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return finished, unfinished
}

// TestDemo_LeavesAPlayableFileAndNothingElse runs the demo as it is, as a user would.
func TestDemo_LeavesAPlayableFileAndNothingElse(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	cmd := e2etest.Refract(ctx, t, "demo")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	checkDemo(t, cmd.Dir, out)
}

// checkDemo expects the states of the task and a playable file in what a demo printed.
func checkDemo(t *testing.T, dir string, out []byte) {
	t.Helper()
	for _, state := range []string{"QUEUED", "SUBMITTING", "RUNNING", "SAVING", "SUCCEEDED"} {
		if !bytes.Contains(out, []byte(state)) {
			t.Errorf("the demo does not show %s:\n%s", state, out)
		}
	}
	path := regexp.MustCompile(`\S+\.mp4`).Find(out)
	file, err := os.ReadFile(filepath.Join(dir, string(path)))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(file)
	if !bytes.Contains(out, []byte(hex.EncodeToString(sum[:]))) || string(file[4:8]) != "ftyp" {
		t.Errorf("the demo printed another SHA-256 than %x, or %s is no MP4:\n%s", sum, path, out)
	}
}

// TestDemo_KeepRunsUntilItIsInterrupted signs in to the console of a kept demo by its link, which works once. The demo is one with another
// provider of a model.
func TestDemo_KeepRunsUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	cmd := e2etest.Refract(ctx, t, "demo", "--keep", "--model=luma/ray-2-modify", "--provider=fal")
	cmd.Dir = t.TempDir()
	out := &e2etest.LogBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var link string
	e2etest.Eventually(t, "the link to the console", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("demo: %v\n%s", err, out)
		default:
		}
		link = regexp.MustCompile(`http://127\.0\.0\.1:\d+/login/link\?\S+\n`).FindString(out.String())
		return link != ""
	})
	status, _, body := e2etest.Request(t, http.MethodGet, strings.TrimSpace(link), "")
	if status != http.StatusOK || !bytes.Contains(body, []byte("Sign in as demo")) {
		t.Errorf("the link leads to status %d: %s", status, body)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	checkDemo(t, cmd.Dir, []byte(out.String()))
	if files, err := filepath.Glob(filepath.Join(cmd.Dir, "refract-output", "*.mp4")); err != nil || len(files) != 1 {
		t.Errorf("the demo leaves %v, %v, want one file", files, err)
	}
}
