package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/task"
)

// benchCmd measures what a Refract on this machine can do, beside what PostgreSQL alone can.
type benchCmd struct {
	DatabaseURL secret        `name:"database-url" env:"REFRACT_BENCH_DATABASE_URL" placeholder:"URL" help:"Empty PostgreSQL database to measure on; it is filled with rubbish. Default: a private PostgreSQL."`
	For         time.Duration `name:"for" default:"5s" help:"How long each load lasts."`
	Rounds      int           `name:"rounds" default:"3" help:"How often Refract and its baseline take turns. The median counts."`
	Only        string        `name:"only" enum:"all,callbacks,submit" default:"all" help:"What to measure: all, callbacks or submit."`
	JSON        bool          `name:"json" help:"Print JSON."`
}

// Run starts PostgreSQL and a service of its own, in processes of their own, measures, and stops them.
func (c *benchCmd) Run(ctx context.Context, con console) (err error) {
	dir, err := demoDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rig := &benchRig{benchCmd: c, key: uuid.NewString() + uuid.NewString(), signingKey: uuid.NewString(), url: c.DatabaseURL.reveal()}
	if rig.url == "" {
		log, err := newLogger(con.err, "text", "error")
		if err != nil {
			return err
		}
		cluster, err := pglocal.Start(ctx, pglocal.Config{DataDir: filepath.Join(dir, "postgres"), Logger: log})
		if err != nil {
			return fmt.Errorf("start the private PostgreSQL (or pass --database-url): %w", err)
		}
		defer func() { err = errors.Join(err, cluster.Stop(context.WithoutCancel(ctx))) }()
		rig.url = cluster.URL()
	}
	if err := rig.open(ctx, con, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	report, err := rig.measure(ctx, con)
	if err != nil {
		return err
	}
	if c.JSON {
		return report.printJSON(con.out)
	}
	return report.print(con.out)
}

// benchRig is what is measured.
type benchRig struct {
	*benchCmd

	url        string
	key        string // Of callback URL tokens.
	signingKey string
	token      string // The API token of tenant "bench".
	pool       *pgxpool.Pool
	tokens     *callback.Tokens
	pgbench    bench.Pgbench
	service    *benchService
	row        int // The first row that no load has used.
}

// open prepares the database and starts the service on it.
func (r *benchRig) open(ctx context.Context, con console, dir string) (err error) {
	if r.pgbench, err = bench.FindPgbench(r.url); err != nil {
		return err
	}
	if r.pool, err = postgres.Open(ctx, r.url); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, r.pool); err != nil {
		return err
	}
	if err := bench.HoldSaves(ctx, r.pool); err != nil {
		return err
	}
	if r.tokens, err = callback.NewTokens([]byte(r.key)); err != nil {
		return err
	}
	log, err := newLogger(con.err, "text", "error")
	if err != nil {
		return err
	}
	store, err := postgres.NewStore(r.pool, log)
	if err != nil {
		return err
	}
	token, hash := api.NewAPIToken()
	if _, err := store.CreateAPIToken(ctx, postgres.APIToken{ID: uuid.NewString(), Tenant: "bench"}, hash); err != nil {
		return err
	}
	r.token = token
	r.service, err = startBenchService(ctx, con.err, r, dir)
	return err
}

// close stops the service.
func (r *benchRig) close() error {
	r.pool.Close()
	return r.service.stop()
}

// rows returns the first of so many rows that nobody has used, and prepares tasks for them if they are to be.
func (r *benchRig) rows(ctx context.Context, n int, tasks bool) (int, error) {
	first := r.row
	r.row += n
	if tasks {
		if err := bench.Prepare(ctx, r.pool, first, r.row); err != nil {
			return 0, err
		}
	}
	return first, nil
}

func (r *benchRig) callbackToken(n int) (string, error) {
	return r.tokens.Make("kie", task.AttemptID(bench.AttemptID(n)))
}
