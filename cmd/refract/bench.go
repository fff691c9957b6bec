package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/bench"
)

// benchCmd measures what a Refract on this machine can do, beside what PostgreSQL, curl or plain HTTP alone can.
type benchCmd struct {
	DatabaseURL secret        `name:"database-url" env:"REFRACT_BENCH_DATABASE_URL" placeholder:"URL" help:"Empty PostgreSQL database to measure on; what is in it is REMOVED. Default: a private PostgreSQL."`
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

// Run measures section by section, each with a service in a process of its own, and prints the table. Being short of a
// budget is no error: the table says so.
func (c *benchCmd) Run(ctx context.Context, con console) (err error) {
	dir, err := demoDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rig, err := c.openRig(ctx, con, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig.close(context.WithoutCancel(ctx))) }()
	report, err := rig.describe(ctx)
	if err != nil {
		return err
	}
	for _, s := range benchSections {
		if !slices.Contains(c.Only, s.name) {
			continue
		}
		rig.tell("measuring %s …", s.name)
		rows, err := s.measure(rig, ctx)
		if err != nil {
			return fmt.Errorf("measure %s: %w", s.name, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	if c.JSON {
		return report.PrintJSON(con.out)
	}
	return report.Print(con.out)
}
