package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/redact"
)

// databaseFlags name the database of commands that work on it directly.
type databaseFlags struct {
	DatabaseURL       redact.Secret `name:"database-url" env:"DATABASE_URL" help:"PostgreSQL to work on."`
	DatabaseDirectURL redact.Secret `name:"database-direct-url" env:"DATABASE_DIRECT_URL" help:"The same database without a pooler, used instead of --database-url where set."`
}

// openMigrated connects to the database, and checks that it has a schema with which this release works.
func (f databaseFlags) openMigrated(ctx context.Context) (*pgxpool.Pool, error) {
	pool, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := migrations.Check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// open connects to the database.
func (f databaseFlags) open(ctx context.Context) (*pgxpool.Pool, error) {
	if f.DatabaseDirectURL != "" {
		return dbpool.OpenDirect(ctx, f.DatabaseDirectURL.Reveal())
	}
	if f.DatabaseURL == "" {
		return nil, errors.New("pass --database-url, or set DATABASE_URL")
	}
	return dbpool.Open(ctx, f.DatabaseURL.Reveal())
}

// migrateCmd brings the schema to this release.
type migrateCmd struct {
	databaseFlags

	Plan             bool   `name:"plan" help:"Show what would be done and what it blocks, and change nothing. Exit status 0 means that nothing is pending, 2 that something is."`
	PrintIngressRole bool   `name:"print-ingress-role" help:"Print the SQL that creates the database role of serve --roles=ingress, which may only append callbacks, and change nothing."`
	RoleName         string `name:"role-name" default:"refract_ingress" help:"Name of that role."`
}

// Run migrates.
func (c *migrateCmd) Run(ctx context.Context, con cli.Console) error {
	if c.PrintIngressRole {
		sql, err := migrations.IngressRole(c.RoleName)
		if err != nil {
			return fmt.Errorf("--role-name: %w", err)
		}
		_, err = fmt.Fprint(con.Out, sql)
		return err
	}
	ctx = dbpool.Patient(ctx)
	pool, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if c.Plan {
		plan, err := migrations.Plan(ctx, pool)
		if err != nil {
			return err
		}
		return printPlan(con.Out, plan)
	}
	if err := migrations.Apply(ctx, pool); err != nil {
		return err
	}
	_, err = fmt.Fprintln(con.Out, "the schema is at this release's version, or at that of a newer release with which this one works")
	return err
}

// shownSQL is how much of a statement a plan shows.
const shownSQL = 110

// printPlan prints a plan. It returns an error with exit status 2 when something is pending.
func printPlan(out io.Writer, plan migrations.Pending) error {
	var b strings.Builder
	fmt.Fprintf(&b, "schema version %d, this release has %d; %d migrations pending\n", plan.Current, plan.Target, len(plan.Steps))
	for _, step := range plan.Steps {
		fmt.Fprintf(&b, "\n%s\n", step.Name)
		for _, s := range step.Statements {
			sql := []rune(s.SQL)
			if len(sql) > shownSQL {
				sql = append(sql[:shownSQL:shownSQL], '…')
			}
			fmt.Fprintf(&b, "  %s\n      lock: %s\n", string(sql), s.Lock)
		}
	}
	if len(plan.Steps) > 0 {
		fmt.Fprintf(&b, "\nReplicas of releases since schema version %d may run meanwhile and afterwards. Stop older ones first.\n", plan.Oldest)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return err
	}
	if len(plan.Steps) > 0 {
		return pendingError{}
	}
	return nil
}

// pendingError is the end of a plan that found something to do.
type pendingError struct{}

func (pendingError) Error() string { return "migrations are pending: run `refract migrate`" }

// ExitStatus returns 2, which differs from that of a failure.
func (pendingError) ExitStatus() int { return 2 }
