// Package rig measures a running service for the bench command. Each section of the report gets its own service process, a
// simulated provider and a fresh database. Package bench defines what is compared.
package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/redact"
)

// Options selects the measurements and the database.
type Options struct {
	DatabaseURL redact.Secret `name:"database-url" env:"REFRACT_BENCH_DATABASE_URL" placeholder:"URL" help:"Empty PostgreSQL database to measure on. All its data is REMOVED. Default: a private PostgreSQL."`
	For         time.Duration `name:"for" default:"5s" help:"How long each load lasts."`
	Rounds      int           `name:"rounds" default:"3" help:"How often Refract and its baseline run alternately. The report has the medians."`
	Only        []string      `name:"only" enum:"start,idle,save,callbacks,submit,webhooks,watch,growth" default:"start,idle,save,callbacks,submit,webhooks,watch,growth" help:"What to measure: start, idle, save, callbacks, submit, webhooks, watch, growth."`
	Streams     int           `name:"streams" default:"100000" help:"How many WatchTask streams to open."`
	GrowTo      int           `name:"grow-to" default:"1000000" help:"How many tasks the database holds in the last step of growth. Ten million take half an hour and 30 GB."`
}

// section measures one thing and returns its rows.
type section struct {
	name    string
	measure func(r *rig, ctx context.Context) ([]bench.Row, error)
}

// sections lists the sections in the order of measurement.
var sections = []section{
	{"start", (*rig).start},
	{"idle", (*rig).idle},
	{"save", (*rig).save},
	{"callbacks", (*rig).callbacks},
	{"submit", (*rig).submits},
	{"webhooks", (*rig).webhooks},
	{"watch", (*rig).watches},
	{"growth", (*rig).growth},
}

// Measure measures the selected sections one after the other. It writes progress and the errors of services to errs.
func Measure(ctx context.Context, o Options, errs io.Writer) (report bench.Report, err error) {
	dir, err := pglocal.TempDir("refract-bench-")
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err := open(ctx, o, dir, errs)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, r.close(context.WithoutCancel(ctx))) }()
	report, err = r.describe(ctx)
	if err != nil {
		return report, err
	}
	for _, s := range sections {
		if !slices.Contains(o.Only, s.name) {
			continue
		}
		r.progress("measuring %s …", s.name)
		rows, err := s.measure(r, ctx)
		if err != nil {
			return report, fmt.Errorf("measure %s: %w", s.name, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	return report, nil
}
