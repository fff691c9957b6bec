package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/cli"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/redact"
)

// databaseFlags name the database of commands that work on it directly.
type databaseFlags struct {
	DatabaseURL redact.Secret `name:"database-url" env:"DATABASE_URL" help:"PostgreSQL to work on."`
}

// open connects to the database.
func (f databaseFlags) open(ctx context.Context) (*pgxpool.Pool, error) {
	if f.DatabaseURL == "" {
		return nil, errors.New("pass --database-url, or set DATABASE_URL")
	}
	return dbpool.Open(ctx, f.DatabaseURL.Reveal())
}

// migrateCmd brings the schema to this release.
type migrateCmd struct {
	databaseFlags
}

// Run migrates.
func (c *migrateCmd) Run(ctx context.Context, con cli.Console) error {
	pool, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := migrations.Apply(ctx, pool); err != nil {
		return err
	}
	_, err = fmt.Fprintln(con.Out, "the schema is at this release's version")
	return err
}
