package e2etest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Process is `refract serve` as a separate process.
type Process struct {
	Cmd                 *exec.Cmd
	GRPC, HTTP, Ingress string
	Tasks               refractv1.TaskServiceClient
	Log                 *bytes.Buffer
	Drained             chan struct{} // Closed when its log has been read to the end.
}

// StartProcess starts the service and waits until it logs its addresses.
func StartProcess(t *testing.T, args ...string) *Process {
	t.Helper()
	return StartProcessIn(t, nil, args...)
}

// StartProcessIn is StartProcess with additional environment variables.
func StartProcessIn(t *testing.T, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{
		Cmd: Refract(context.WithoutCancel(t.Context()), t, append([]string{"serve", "--log-level=info", "--probe=off"}, args...)...),
		Log: &bytes.Buffer{}, Drained: make(chan struct{}),
	}
	p.Cmd.Env = append(p.Cmd.Env, env...)
	stderr, err := p.Cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	serving := make(chan struct{})
	go func() {
		defer close(p.Drained)
		for lines.Scan() {
			p.Log.Write(append(lines.Bytes(), '\n'))
			var line struct{ Msg, GRPC, HTTP, Ingress string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				p.GRPC, p.HTTP, p.Ingress = line.GRPC, line.HTTP, line.Ingress
				close(serving)
			}
		}
	}()
	select {
	case <-serving:
	case <-p.Drained:
		t.Fatalf("the service ended before it served:\n%s", p.Log)
	case <-time.After(Hung):
		t.Fatal("the service does not serve")
	}
	if p.GRPC != "" {
		p.Tasks = refractv1.NewTaskServiceClient(Dial(t, p.GRPC))
	}
	return p
}

// Kill kills the process. It may be called again.
func (p *Process) Kill() {
	if p.Cmd.ProcessState == nil {
		_ = p.Cmd.Process.Kill()
		<-p.Drained
		_ = p.Cmd.Wait()
	}
}

// WaitFor follows a task until it is in a state.
func WaitFor(ctx context.Context, t *testing.T, tasks refractv1.TaskServiceClient, id string, want refractv1.TaskState) *refractv1.TaskEvent {
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

// ProcessArgs are the arguments of a process that serves without tokens.
func ProcessArgs(t *testing.T, database, kieURL string, more ...string) []string {
	t.Helper()
	return append([]string{
		"--database-url=" + database, "--bucket=file://" + filepath.Join(t.TempDir(), "bucket"), "--auth=none", "--allow-private",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
		"--kie-url=" + kieURL, "--kie-api-key=" + APIKey, "--kie-webhook-key=" + WebhookKey, "--kie-limit=1000/1s/1000",
	}, more...)
}

// Signal sends a signal to the process.
func (p *Process) Signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Terminate sends SIGTERM, and waits until the process has ended cleanly.
func (p *Process) Terminate(t *testing.T) {
	t.Helper()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.Drained
	if err := p.Cmd.Wait(); err != nil || !strings.Contains(p.Log.String(), `"drained"`) {
		t.Errorf("the process ended with %v, want success:\n%s", err, p.Log)
	}
}

// PeakMemory returns the peak memory of a process, in bytes. It needs the /proc of Linux.
func PeakMemory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("the process has no VmHWM")
	return 0
}
