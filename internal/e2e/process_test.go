package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// serveProcess is `refract serve` as a separate process.
type serveProcess struct {
	cmd                 *exec.Cmd
	grpc, http, ingress string
	tasks               refractv1.TaskServiceClient
	log                 *bytes.Buffer
	drained             chan struct{} // Closed when its log has been read to the end.
}

// startProcess starts the service and waits until it logs its addresses.
func startProcess(t *testing.T, args ...string) *serveProcess {
	t.Helper()
	return startProcessIn(t, nil, args...)
}

// startProcessIn is startProcess with additional environment variables.
func startProcessIn(t *testing.T, env []string, args ...string) *serveProcess {
	t.Helper()
	p := &serveProcess{
		cmd: refract(context.WithoutCancel(t.Context()), t, append([]string{"serve", "--log-level=info", "--probe=off"}, args...)...),
		log: &bytes.Buffer{}, drained: make(chan struct{}),
	}
	p.cmd.Env = append(p.cmd.Env, env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	serving := make(chan struct{})
	go func() {
		defer close(p.drained)
		for lines.Scan() {
			p.log.Write(append(lines.Bytes(), '\n'))
			var line struct{ Msg, GRPC, HTTP, Ingress string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				p.grpc, p.http, p.ingress = line.GRPC, line.HTTP, line.Ingress
				close(serving)
			}
		}
	}()
	select {
	case <-serving:
	case <-p.drained:
		t.Fatalf("the service ended before it served:\n%s", p.log)
	case <-time.After(hung):
		t.Fatal("the service does not serve")
	}
	if p.grpc != "" {
		p.tasks = refractv1.NewTaskServiceClient(dial(t, p.grpc))
	}
	return p
}

// kill kills the process. It may be called again.
func (p *serveProcess) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		<-p.drained
		_ = p.cmd.Wait()
	}
}

// TestSIGKILL_BetweenSubmitAndCallbackLosesNothing kills the service while the provider works. The callback fails at
// first. The restarted service must take it, and nothing may be paid for twice.
func TestSIGKILL_BetweenSubmitAndCallbackLosesNothing(t *testing.T) {
	t.Parallel()
	provider, err := sim.Start(sim.Config{Processing: time.Second}, simkie.Profile{WebhookKey: testWebhookKey, CallbackSpacing: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	ingress := freeAddress(t)
	args := []string{
		"--database-url=" + postgrestest.URL(t), "--bucket=file://" + filepath.Join(t.TempDir(), "bucket"), "--auth=none", "--allow-private",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=" + ingress,
		"--kie-url=" + provider.URL(), "--kie-api-key=any", "--kie-webhook-key=" + testWebhookKey,
	}
	first := startProcess(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	submitted, err := first.tasks.SubmitTask(ctx, goodRequest())
	if err != nil {
		t.Fatal(err)
	}
	if err := provider.Await(ctx, func() bool { return len(provider.Ledger()) == 1 }); err != nil {
		t.Fatal(err)
	}
	waitFor(ctx, t, first.tasks, submitted.GetTask().GetId(), refractv1.TaskState_TASK_STATE_RUNNING)
	first.kill()

	second := startProcess(t, args...)
	last := waitFor(ctx, t, second.tasks, submitted.GetTask().GetId(), refractv1.TaskState_TASK_STATE_SUCCEEDED)
	if len(last.GetOutputs()) != 1 {
		t.Errorf("ended with %v, want an output", last)
	}
	if paid := sim.CountPaid(provider.Ledger(), sim.ByPrompt)["A neon city"]; paid != 1 {
		t.Errorf("paid %d times, want once", paid)
	}
}

// waitFor follows a task until it is in a state.
func waitFor(ctx context.Context, t *testing.T, tasks refractv1.TaskServiceClient, id string, want refractv1.TaskState) *refractv1.TaskEvent {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: new(int64)})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatalf("watch until %v: %v", want, err)
		}
		if e := m.GetEvent(); e.GetState() == want {
			return e
		}
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
	p := startProcess(t, "--database-url="+postgrestest.URL(t), "--bucket=file://"+filepath.Join(t.TempDir(), "bucket"), "--auth=none", "--allow-private",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0", "--kie-url="+provider.URL(), "--kie-api-key="+testAPIKey, "--kie-webhook-key="+testWebhookKey)
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	submitted, err := p.tasks.SubmitTask(ctx, goodRequest())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := p.tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: submitted.GetTask().GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if got := refusalOf(err); got.Reason != "SHUTTING_DOWN" {
		t.Errorf("the stream ended with %v, want UNAVAILABLE with SHUTTING_DOWN", err)
	}
	<-p.drained
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the service ended with %v, want success:\n%s", err, p.log)
	}
	for _, secret := range []string{postgrestest.Password, testAPIKey, testWebhookKey} {
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, p.log)
		}
	}
}

// TestSIGTERM_CutsASaveThatGoesOnAfterwards stops the service in the middle of a slow download.
func TestSIGTERM_CutsASaveThatGoesOnAfterwards(t *testing.T) {
	t.Parallel()
	if left := interruptSave(t, terminate); left != 0 {
		t.Errorf("%d unfinished files are left", left)
	}
}

// TestSIGKILL_DuringASaveIsMadeUpForAfterwards kills the service there, so that the save's end is not recorded.
func TestSIGKILL_DuringASaveIsMadeUpForAfterwards(t *testing.T) {
	t.Parallel()
	if left := interruptSave(t, func(_ *testing.T, p *serveProcess) { p.kill() }); left != 1 {
		t.Errorf("%d unfinished files were left, want the one that the start after the next removes", left)
	}
}

// interruptSave ends a service in the middle of a slow download, and expects another one to finish it soon, and once.
// It returns how many unfinished files were left. They are removed once they are old.
func interruptSave(t *testing.T, stop func(*testing.T, *serveProcess)) int {
	t.Helper()
	bucket := filepath.Join(t.TempDir(), "bucket")
	provider, err := sim.Start(sim.Config{}, simkie.Profile{WebhookKey: testWebhookKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	args := []string{
		"--database-url=" + postgrestest.URL(t), "--bucket=file://" + bucket, "--auth=none", "--allow-private",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
		"--kie-url=" + provider.URL(), "--kie-api-key=any", "--kie-webhook-key=" + testWebhookKey,
	}
	first := startProcess(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	req := goodRequest()
	req.Prompt += " [sim:slow=5s]"
	submitted, err := first.tasks.SubmitTask(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if err := provider.Await(ctx, func() bool { return len(provider.Downloads()) > 0 }); err != nil {
		t.Fatal(err)
	}
	unfinishedFiles := func() int { _, left := filesOf(t, bucket); return len(left) }
	until(ctx, t, "half a file is there", func() bool { return unfinishedFiles() > 0 })
	stop(t, first)
	if n := len(provider.Downloads()); n != 1 {
		t.Errorf("%d downloads began before the stop, want 1", n)
	}
	second := startProcess(t, args...)
	last := waitFor(ctx, t, second.tasks, submitted.GetTask().GetId(), refractv1.TaskState_TASK_STATE_SUCCEEDED)
	second.kill()
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
	for _, name := range unfinished {
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	startProcess(t, args...)
	until(ctx, t, "what was left is swept", func() bool { return unfinishedFiles() == 0 })
	return len(unfinished)
}

// until waits for a condition.
func until(ctx context.Context, t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it never comes that %s", what)
		}
	}
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

// terminate sends SIGTERM to a service, and expects a clean end.
func terminate(t *testing.T, p *serveProcess) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.drained
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the service ended with %v, want success:\n%s", err, p.log)
	}
}

// TestDemo_LeavesAPlayableFileAndNothingElse runs the demo twice, as a user would: as it is, and with another provider of a model.
func TestDemo_LeavesAPlayableFileAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, args := range [][]string{{"demo"}, {"demo", "--model=luma/ray-2-modify", "--provider=fal"}} {
		ctx, cancel := context.WithTimeout(t.Context(), hung)
		defer cancel()
		cmd := refract(ctx, t, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("demo: %v\n%s", err, out)
		}
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
}

// TestDemo_KeepRunsUntilItIsInterrupted signs in to the console of a kept demo by its link, which works once.
func TestDemo_KeepRunsUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	cmd := refract(ctx, t, "demo", "--keep")
	cmd.Dir = t.TempDir()
	out := &logBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var link string
	eventually(t, "the link to the console", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("demo: %v\n%s", err, out)
		default:
		}
		link = regexp.MustCompile(`http://127\.0\.0\.1:\d+/login/link\?\S+\n`).FindString(out.String())
		return link != ""
	})
	status, _, body := request(t, http.MethodGet, strings.TrimSpace(link), "")
	if status != http.StatusOK || !bytes.Contains(body, []byte("Sign in as demo")) {
		t.Errorf("the link leads to status %d: %s", status, body)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	if files, err := filepath.Glob(filepath.Join(cmd.Dir, "refract-output", "*.mp4")); err != nil || len(files) != 1 {
		t.Errorf("the demo leaves %v, %v, want one file", files, err)
	}
}
