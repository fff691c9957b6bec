//go:build emptyroot && linux

// Package emptyroot_test runs the program as its image does: built statically, alone in a root folder that it can't write, as user
// 65534, without a shell, /etc, /proc or /tmp.
package emptyroot_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// unprivileged is the user of the image.
const unprivileged = 65534

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// image is a root folder with the program, and with the folders that docs/deploy.md lets an operator mount.
type image struct {
	root        string
	environment []string
}

// TestProgram_FinishesAJobInAnEmptyRoot brings a database to the release, starts the simulated provider and the service, submits a
// clip and waits for its result. It prints how long that took, from the start of the first process.
func TestProgram_FinishesAJobInAnEmptyRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root folder of a process")
	}
	im := newImage(t)
	im.environment = []string{"DATABASE_URL=" + postgrestest.EmptyURL(t), "KIE_API_KEY=simulated-key", "REFRACT_SIM_API_KEY=simulated-key"}
	began := time.Now()
	im.run(t, "migrate")
	migrated := time.Since(began)

	provider := im.start(t, []string{"TMPDIR=/scratch"}, "sim", "--address=127.0.0.1:0", "--processing=1s")
	api := provider.find(t, regexp.MustCompile(`kie at (http://[^ ,]+)`))
	service := im.start(t, nil, "serve", "--auth=none", "--allow-private", "--bucket=file:///bucket", "--kie-url="+api,
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0")
	address := service.find(t, regexp.MustCompile(`"msg":"serving".*"grpc":"([^"]+)"`))
	serving := time.Since(began)
	im.run(t, "submit", "--address="+address, "--video=/clip.mp4", "--prompt=a neon city", "--output=/scratch/result.mp4")
	t.Logf("from the first process in an empty root to a finished job: %v (schema migrated after %v, serving after %v)",
		time.Since(began).Round(time.Millisecond), migrated.Round(time.Millisecond), serving.Round(time.Millisecond))

	result, err := os.ReadFile(filepath.Join(im.root, "scratch/result.mp4"))
	if err != nil || len(result) == 0 {
		t.Errorf("the result has %d bytes, %v", len(result), err)
	}
	im.examine(t, "--auth=none", "--allow-private", "--bucket=file:///bucket", "--kie-url="+api)
	service.stop(t)
	provider.stop(t)
	im.checkUntouched(t)
}

// TestProgram_SaysWhatAnEmptyRootLacks has commands that need something which the image does not have.
func TestProgram_SaysWhatAnEmptyRootLacks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root folder of a process")
	}
	im := newImage(t)
	im.environment = []string{"KIE_API_KEY=simulated-key"}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"a folder for data":            {[]string{"serve", "--callback-url=https://refract.example.com"}, "--data-dir"},
		"the programs of PostgreSQL":   {[]string{"serve", "--callback-url=https://refract.example.com", "--data-dir=/scratch"}, "--database-url"},
		"a folder for temporary files": {[]string{"sim", "--address=127.0.0.1:0"}, "/tmp"},
	} {
		cmd := im.command(t, nil, tc.args...)
		said, err := cmd.CombinedOutput()
		if exit, failed := errors.AsType[*exec.ExitError](err); !failed || exit.ExitCode() != 1 || !strings.Contains(string(said), tc.want) {
			t.Errorf("without %s it ended with %v and said %q, want status 1 and a text that names %s", name, err, said, tc.want)
		}
	}
}

// newImage builds the program as a release and puts it into an empty root folder.
func newImage(t *testing.T) *image {
	t.Helper()
	root, err := os.MkdirTemp("", "refract-root-") //nolint:usetesting // The user of the image must be able to enter it.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", "release", "-ldflags=-s -w", "-o", filepath.Join(root, "refract"),
		"github.com/refract-video/refract/cmd/refract")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	clip, err := os.ReadFile("../../sim/clips/sample.mp4")
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "clip.mp4"), clip, 0o444) //nolint:gosec // Another user reads it.
	}
	for _, mount := range []string{"bucket", "scratch"} {
		folder := filepath.Join(root, mount)
		err = errors.Join(err, os.Mkdir(folder, 0o700), os.Chown(folder, unprivileged, unprivileged))
	}
	if err = errors.Join(err, os.Chmod(root, 0o555)); err != nil { //nolint:gosec // Another user reads it.
		t.Fatal(err)
	}
	return &image{root: root}
}

// checkUntouched reports what the program wrote outside of the folders that were mounted.
func (im *image) checkUntouched(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(im.root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "bucket clip.mp4 refract scratch" {
		t.Errorf("the root holds %s", got)
	}
	if _, err := os.Stat(filepath.Join(im.root, "tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("/tmp: %v", err)
	}
}

// command prepares a process of the program in the root.
func (im *image) command(t *testing.T, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/refract", args...)
	cmd.Err = nil // The path is one below the root.
	cmd.Dir, cmd.Env = "/", append(environment, im.environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: im.root, Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged}, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a command to its end and returns what it printed.
func (im *image) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := im.command(t, nil, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("refract %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// examine runs the doctor, who may find fault with nothing but the durability of the tests' own PostgreSQL, which has fsync off.
func (im *image) examine(t *testing.T, args ...string) {
	t.Helper()
	report, _ := im.command(t, nil, append([]string{"doctor"}, args...)...).CombinedOutput() // With status 1 for that fault.
	for line := range strings.Lines(string(report)) {
		if strings.HasPrefix(line, "FAIL") && !strings.HasPrefix(line, "FAIL  database durability") || !strings.Contains(string(report), "database clock") {
			t.Errorf("refract doctor says:\n%s", report)
			return
		}
	}
}

// process is a command that runs.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	ended chan error
}

// start starts a command that runs until it is stopped.
func (im *image) start(t *testing.T, environment []string, args ...string) *process {
	t.Helper()
	cmd := im.command(t, environment, args...)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatalf("refract %s: %v", args[0], err)
	}
	p := &process{cmd: cmd, lines: bufio.NewScanner(r), ended: make(chan error, 1)}
	go func() {
		err := cmd.Wait()
		_ = w.Close()
		p.ended <- err
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return p
}

// find returns what an expression finds in a line of the process. The rest of its lines is discarded.
func (p *process) find(t *testing.T, expression *regexp.Regexp) string {
	t.Helper()
	var said bytes.Buffer
	for p.lines.Scan() {
		if found := expression.FindStringSubmatch(p.lines.Text()); found != nil {
			go func() {
				for p.lines.Scan() {
					_ = p.lines.Bytes()
				}
			}()
			return found[1]
		}
		said.WriteString(p.lines.Text() + "\n")
	}
	t.Fatalf("the process ended and said:\n%s", said.String())
	return ""
}

// stop stops the process as an orchestrator does, and expects success.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("%v ended with %v", p.cmd.Args[1], err)
	}
}
