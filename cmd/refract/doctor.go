package main

import (
	"context"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/doctor"
	"github.com/refract-video/refract/internal/server"
)

// doctorCmd checks an installation.
type doctorCmd struct {
	server.Config

	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints a report. It ends with status 1 if a check failed.
func (c *doctorCmd) Run(ctx context.Context, con cli.Console) error {
	c.Complete()
	report := doctor.Examine(ctx, c.Examination())
	write := report.Print
	if c.JSON {
		write = report.PrintJSON
	}
	if err := write(con.Out); err != nil {
		return err
	}
	if report.Failed() {
		return cli.ErrReported
	}
	return nil
}
