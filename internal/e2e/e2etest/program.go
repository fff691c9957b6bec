package e2etest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/refract-video/refract/internal/e2e/program"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// Main runs the tests of a package, and returns the exit status:
//
//	func TestMain(m *testing.M) { os.Exit(e2etest.Main(m)) }
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "refract-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built.dir = dir
	code := postgrestest.Main(m)
	if built.sources.Changed() {
		if err := program.Forget(); err != nil {
			fmt.Fprintln(os.Stderr, "prevent go test from caching the result:", err)
			return 1
		}
	}
	return code
}

// built is the program. It is built when a test runs it for the first time.
var built struct {
	once    sync.Once
	dir     string
	path    string
	sources program.Sources
	err     error
}

func build() {
	ctx := context.Background() // All tests share the build. The timeout of go test ends a build that hangs.
	if built.sources, built.err = program.List(ctx); built.err == nil {
		built.path, built.err = program.Build(ctx, built.dir)
	}
	built.sources.Look()
}

// Refract returns a command that runs the program.
func Refract(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	built.once.Do(build)
	if built.err != nil {
		t.Fatal(built.err)
	}
	cmd := exec.CommandContext(ctx, built.path, args...)
	// By default, the race detector delays the end of a process by a second.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// Run runs a command line and returns its exit status and what it wrote.
func Run(t *testing.T, args ...string) (exit int, out, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Hung)
	defer cancel()
	cmd := Refract(ctx, t, args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// Command runs a command line for the service at an address, and returns its exit status and output.
func Command(t *testing.T, address string, args ...string) (exit int, out, errs string) {
	t.Helper()
	return Run(t, append(args, "--address="+address)...)
}
