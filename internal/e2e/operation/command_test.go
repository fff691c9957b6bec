package operation_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/e2e/e2etest"
)

// clientCommands are the commands of the program that call a service, as far as tests run them in their own process.
type clientCommands struct {
	Explain  cli.Explain  `cmd:""`
	Provider cli.Provider `cmd:""`
	Model    cli.Model    `cmd:""`
	Tenant   cli.Tenant   `cmd:""`
	Callback cli.Callback `cmd:""`
	Check    cli.Check    `cmd:""`
	Stuck    cli.Stuck    `cmd:""`
	Audit    cli.Audit    `cmd:""`
}

// command runs a command line against a service as the program does, but in this process, and returns its output. The command must
// succeed. A test whose commands repeat runs one of them as the program, which is a process and costs more than most calls.
func command(t *testing.T, ts *e2etest.Service, token string, args ...string) string {
	t.Helper()
	exit, out, errs := inProcess(t, &clientCommands{}, append(args, "--address="+ts.GRPCAddr(), "--token="+token)...)
	if exit != 0 {
		t.Fatalf("%v: exit %d: %s", args, exit, errs)
	}
	return out
}

// inProcess runs a command line in this process and returns its exit status and what it wrote.
func inProcess(t *testing.T, commands any, args ...string) (exit int, out, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	var o, e bytes.Buffer
	exit = cli.Run(ctx, commands, args, cli.Console{In: &bytes.Buffer{}, Out: &o, Err: &e})
	return exit, o.String(), e.String()
}
