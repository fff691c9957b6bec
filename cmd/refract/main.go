// Command refract runs the Refract service, its provider simulator and a demo of both, and is a client of
// the service for the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/willabides/kongplete"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/demo"
	_ "github.com/refract-video/refract/internal/media/cloud" // Opens buckets in clouds.
)

// commands is the command line: one field a command.
type commands struct {
	Serve       serveCmd       `cmd:"" help:"Run the service."`
	Demo        demo.Demo      `cmd:"" help:"Modify a clip through the whole system on this machine: service, PostgreSQL and a simulated provider."`
	Sim         simCmd         `cmd:"" help:"Run the provider simulator."`
	Migrate     migrateCmd     `cmd:"" help:"Bring the database schema to this release."`
	Doctor      doctorCmd      `cmd:"" help:"Check what the service needs: database, bucket, provider keys, callback URL, certificates, disks. Takes the settings of serve."`
	Token       tokenCmd       `cmd:"" help:"Create, list and revoke the API tokens of tenants."`
	ConsoleLink consoleLinkCmd `cmd:"" name:"console-link" help:"Print a link that signs in to the console once, within ten minutes."`
	Submit      cli.Submit     `cmd:"" help:"Submit a task."`
	Get         cli.Get        `cmd:"" help:"Show a task."`
	List        cli.List       `cmd:"" help:"List tasks, newest first."`
	Watch       cli.Watch      `cmd:"" help:"Follow a task until it is terminal."`
	Explain     cli.Explain    `cmd:"" help:"Show what happened to a task, what comes next, and whether a retry can help."`
	Cancel      cli.Cancel     `cmd:"" help:"Cancel a task."`
	Retry       cli.Retry      `cmd:"" help:"Continue a failed or canceled task, or all that match filters."`
	Model       cli.Model      `cmd:"" help:"The models that tasks can name: list them, or show one."`
	Webhook     cli.Webhook    `cmd:"" help:"Webhook endpoints and deliveries: create, list, test, redeliver, and forward events to this machine."`
	Bench       benchCmd       `cmd:"" help:"Measure Refract on this machine, and compare it with PostgreSQL alone."`
	Proto       protoCmd       `cmd:"" help:"The contract, for callers in other languages."`
	Catalog     catalogCmd     `cmd:"" help:"The catalog of models: check files that add to it."`
	Version     versionCmd     `cmd:"" help:"Show the version."`

	Completion kongplete.InstallCompletions `cmd:"" help:"Print what makes your shell complete commands and flags: run it in the start-up file of bash, zsh or fish."`

	Provider     cli.Provider     `cmd:"" help:"For operators: show, limit, pause and resume provider accounts."`
	Tenant       cli.Tenant       `cmd:"" help:"For operators: show tenants, and set their shares and quotas."`
	Callback     cli.Callback     `cmd:"" help:"For operators: show and replay the callback inbox."`
	Audit        cli.Audit        `cmd:"" help:"For operators: show who changed what."`
	Retain       retainCmd        `cmd:"" help:"For operators: remove what has expired from database and bucket now, or show what that is."`
	Admission    cli.Admission    `cmd:"" help:"For operators: show whether tasks are sent to providers, close and open admission."`
	RestoreCheck cli.RestoreCheck `cmd:"" name:"restore-check" help:"For operators: after a restore, list what was sent and what the database has forgotten, and settle it."`
	Check        cli.Check        `cmd:"" help:"For operators: ask the provider about a task now."`
	Stuck        cli.Stuck        `cmd:"" help:"For operators: list the tasks that are longer in their state than is usual, with the cause."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], cli.Console{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// run parses and runs a command line and returns the exit status.
func run(ctx context.Context, args []string, con cli.Console) int {
	return cli.Run(ctx, &commands{}, args, con)
}
