package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/redact"
)

// benchCmd measures what a Refract on this machine can do, beside what PostgreSQL, curl or plain HTTP alone can.
type benchCmd struct {
	DatabaseURL redact.Secret `name:"database-url" env:"REFRACT_BENCH_DATABASE_URL" placeholder:"URL" help:"Empty PostgreSQL database to measure on; what is in it is REMOVED. Default: a private PostgreSQL."`
	For         time.Duration `name:"for" default:"5s" help:"How long each load lasts."`
	Rounds      int           `name:"rounds" default:"3" help:"How often Refract and its baseline take turns. The median counts."`
	Only        []string      `name:"only" enum:"start,idle,save,callbacks,submit,watch,growth" default:"start,idle,save,callbacks,submit,watch,growth" help:"What to measure: start, idle, save, callbacks, submit, watch, growth."`
	Streams     int           `name:"streams" default:"100000" help:"How many WatchTask streams to open."`
	GrowTo      int           `name:"grow-to" default:"1000000" help:"Up to how many tasks to see whether costs grow. Ten million take half an hour and 30 GB."`
	JSON        bool          `name:"json" help:"Print JSON."`
}

// benchSection measures one thing and returns its rows.
type benchSection struct {
	name    string
	measure func(r *benchRig, ctx context.Context) ([]bench.Row, error)
}

// benchSections are the sections in the order in which they are measured.
var benchSections = []benchSection{
	{"start", (*benchRig).start},
	{"idle", (*benchRig).idle},
	{"save", (*benchRig).save},
	{"callbacks", (*benchRig).callbacks},
	{"submit", (*benchRig).submits},
	{"watch", (*benchRig).watches},
	{"growth", (*benchRig).growth},
}

// Help describes the exit status.
func (c *benchCmd) Help() string {
	return "The exit status is 0 when every budget is met, 2 when at least one is short, and 1 when measuring failed."
}

// Run measures section by section, each with a service in a process of its own, and prints the table. It returns a
// *bench.ShortError if everything was measured and a budget is short.
func (c *benchCmd) Run(ctx context.Context, con cli.Console) error {
	report, err := c.report(ctx, con)
	if err != nil {
		return err
	}
	return report.Check()
}

// report measures, prints the report and removes what it measured with.
func (c *benchCmd) report(ctx context.Context, con cli.Console) (report bench.Report, err error) {
	dir, err := demoDir()
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rig, err := c.openRig(ctx, con, dir)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, rig.close(context.WithoutCancel(ctx))) }()
	report, err = rig.describe(ctx)
	if err != nil {
		return report, err
	}
	for _, s := range benchSections {
		if !slices.Contains(c.Only, s.name) {
			continue
		}
		rig.tell("measuring %s …", s.name)
		rows, err := s.measure(rig, ctx)
		if err != nil {
			return report, fmt.Errorf("measure %s: %w", s.name, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	if c.JSON {
		return report, report.PrintJSON(con.Out)
	}
	return report, report.Print(con.Out)
}
