package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/expiry"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/server"
)

// retainCmd removes what has expired.
type retainCmd struct {
	databaseFlags
	server.Retention

	Bucket string `name:"bucket" env:"REFRACT_BUCKET" help:"Bucket of the outputs, as for serve."`
	DryRun bool   `name:"dry-run" help:"Only tell what would be removed. Files that belong to nothing are counted where the bucket is given, with --sweep-orphans or without."`
}

// Run removes all that has expired, or counts it.
func (c *retainCmd) Run(ctx context.Context, con cli.Console) (err error) {
	if err := c.Keep().Check(); err != nil {
		return err
	}
	if c.Bucket == "" && !c.DryRun {
		return errors.New("pass --bucket, or set REFRACT_BUCKET")
	}
	log, err := server.NewLogger(con.Err, "text", "warn")
	if err != nil {
		return err
	}
	pool, err := c.openMigrated(dbpool.Patient(ctx))
	if err != nil {
		return err
	}
	defer pool.Close()
	r := &retention.Retainer{Store: expiry.New(pool, pool, c.Keep()), Log: log, SweepOrphans: c.SweepOrphans}
	if c.Bucket != "" {
		if r.Bucket, err = media.OpenBucket(ctx, c.Bucket); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Bucket.Close()) }()
	}
	if !c.DryRun {
		return c.remove(ctx, con.Out, r)
	}
	expired, err := r.Survey(ctx)
	if err != nil {
		return err
	}
	return showExpired(con.Out, expired)
}

// remove makes one round to the end.
func (c *retainCmd) remove(ctx context.Context, w io.Writer, r *retention.Retainer) error {
	removed, files, held, err := r.Round(ctx)
	if err == nil && !held {
		return errors.New("another process is removing what has expired right now")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "KIND\tROWS\tBYTES") // Flush returns the error of a failed write.
	for _, kind := range append(slices.Clone(retention.Kinds), retention.UnreferencedKind) {
		if sum := removed[kind]; sum.Rows > 0 {
			_, _ = fmt.Fprintf(table, "%s\t%d\t%d\n", kind, sum.Rows, sum.Bytes)
		}
	}
	_, _ = fmt.Fprintf(table, "file\t%d\t\n", files)
	return errors.Join(err, table.Flush())
}

// showExpired prints what would be removed.
func showExpired(w io.Writer, expired []retention.Expired) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "KIND\tTENANT\tROWS\tBYTES") // Flush returns the error of a failed write.
	for _, e := range expired {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\n", e.Kind, cli.OneLine(e.Tenant), e.Rows, e.Bytes)
	}
	return table.Flush()
}
