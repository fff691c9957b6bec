// Command refract runs the Refract service, its provider simulator and a demo of both, and is a client of
// the service for the command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/redact"
)

// cli is the command line: one field a command.
type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run the service."`
	Demo    demoCmd    `cmd:"" help:"Modify a clip through the whole system on this machine: service, PostgreSQL and a simulated provider."`
	Sim     simCmd     `cmd:"" help:"Run the provider simulator."`
	Migrate migrateCmd `cmd:"" help:"Bring the database schema to this release."`
	Token   tokenCmd   `cmd:"" help:"Create, list and revoke the API tokens of tenants."`
	Submit  submitCmd  `cmd:"" help:"Submit a task."`
	Get     getCmd     `cmd:"" help:"Show a task."`
	List    listCmd    `cmd:"" help:"List tasks, newest first."`
	Watch   watchCmd   `cmd:"" help:"Follow a task until it is terminal."`
	Cancel  cancelCmd  `cmd:"" help:"Cancel a task."`
	Retry   retryCmd   `cmd:"" help:"Continue a failed or canceled task, or all that match filters."`
	Bench   benchCmd   `cmd:"" help:"Measure what Refract does on this machine, beside what PostgreSQL alone does."`
	Version versionCmd `cmd:"" help:"Show the version."`

	Provider providerCmd `cmd:"" help:"For operators: show, limit, pause and resume provider accounts."`
	Tenant   tenantCmd   `cmd:"" help:"For operators: show tenants, and set their shares and quotas."`
	Callback callbackCmd `cmd:"" help:"For operators: show and replay the callback inbox."`
	Retain   retainCmd   `cmd:"" help:"For operators: remove what has expired from database and bucket now, or tell what that is."`
	Check    checkCmd    `cmd:"" help:"For operators: ask the provider about a task now."`
}

// console is where a command talks to the person or program that runs it.
type console struct {
	in  io.Reader // Answers of a person.
	out io.Writer // Data and progress.
	err io.Writer // The service's log, and errors.
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], console{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// The exit statuses other than 0.
const (
	exitFailed = 1
	exitShort  = 2 // All was measured, and a budget is short.
)

// run parses and runs a command line and returns the exit status: 0, or another with one line that says what to do.
func run(ctx context.Context, args []string, con console) int {
	exit := -1
	parser, err := kong.New(&cli{},
		kong.Name("refract"),
		kong.Description("Refract runs AI video modifications: it submits them to a provider, never pays twice, and keeps the results."),
		kong.Writers(con.out, con.err),
		kong.Exit(func(code int) { exit = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(con),
	)
	if err != nil {
		return fail(con, err)
	}
	command, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help was answered.
	}
	if err != nil {
		return fail(con, err)
	}
	if err := command.Run(); err != nil {
		return fail(con, err)
	}
	return 0
}

// errQuiet ends a command with a failure that it has told about already.
var errQuiet = errors.New("failed")

func fail(con console, err error) int {
	if !errors.Is(err, errQuiet) {
		line := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\t' }), " ")
		_, _ = fmt.Fprintln(con.err, "refract:", redact.Users(line)) // An error that cannot be written has no other place.
	}
	var short *bench.ShortError
	if errors.As(err, &short) {
		return exitShort
	}
	return exitFailed
}
