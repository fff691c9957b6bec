package main

import (
	"context"

	"github.com/refract-video/refract/internal/bench/rig"
	"github.com/refract-video/refract/internal/cli"
)

// benchCmd measures what Refract can do on this machine, and compares it with PostgreSQL, curl or plain HTTP alone.
type benchCmd struct {
	rig.Options

	JSON bool `name:"json" help:"Print JSON."`
}

// Help describes the exit status.
func (c *benchCmd) Help() string {
	return "The exit status is 0 when every budget is met, 2 when at least one is short, and 1 when measuring failed."
}

// Run measures and prints the table. It returns a *bench.ShortError if everything was measured and a budget is short.
func (c *benchCmd) Run(ctx context.Context, con cli.Console) error {
	report, err := rig.Measure(ctx, c.Options, con.Err)
	if err != nil {
		return err
	}
	report.Version = readVersion().Version
	show := report.Print
	if c.JSON {
		show = report.PrintJSON
	}
	if err := show(con.Out); err != nil {
		return err
	}
	return report.Check()
}
