package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// asRefract makes the test binary be the program, so that tests can run real processes of what they test,
// race detector included.
const asRefract = "REFRACT_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asRefract) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], cli.Console{Out: os.Stdout, Err: os.Stderr})
		stop()
		os.Exit(code)
	}
	// The tests wait for processes, callbacks and dates most of the time, so more of them run at once than there are
	// processors.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(3 * runtime.GOMAXPROCS(0)))
	}
	os.Exit(postgrestest.Main(m))
}

// program returns a command that runs this program.
func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	// The race detector holds a process up for a second when it ends, unless it is configured otherwise.
	cmd.Env = append(os.Environ(), asRefract+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}
