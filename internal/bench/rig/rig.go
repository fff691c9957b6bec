package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/bench/dataset"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/task"
)

// rig contains the tools of a measurement: a database, the keys, and the programs of the baselines.
type rig struct {
	Options

	errs       io.Writer
	dir        string
	cluster    *pglocal.Cluster // Nil if the operator supplies the database.
	url        string
	key        string // Of callback URL tokens.
	signingKey string
	token      string        // The API token of tenant "bench".
	pool       *pgxpool.Pool // With the same settings as in the service.
	loader     *pgxpool.Pool // Without deadlines: filling and analyzing the database may take minutes.
	tokens     *callback.Tokens
	pgbench    bench.Pgbench
	row        int // The first row that no load has used.
}

// open starts PostgreSQL, or opens the database of the operator. It does not change the database: each section that uses
// it calls reset.
func open(ctx context.Context, o Options, dir string, errs io.Writer) (r *rig, err error) {
	r = &rig{
		Options: o, errs: errs, dir: dir, url: o.DatabaseURL.Reveal(), key: uuid.NewString() + uuid.NewString(), signingKey: uuid.NewString(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close(context.WithoutCancel(ctx)))
		}
	}()
	if r.tokens, err = callback.NewTokens([]byte(r.key)); err != nil {
		return r, err
	}
	if r.url == "" {
		log, err := server.NewLogger(errs, "text", "info") // It shows what a slow start waits for.
		if err != nil {
			return r, err
		}
		ctx = dbpool.WithoutTimeouts(ctx)
		if r.cluster, err = pglocal.Start(ctx, pglocal.Config{DataDir: filepath.Join(dir, "postgres"), Logger: log}); err != nil {
			return r, fmt.Errorf("start the private PostgreSQL (or pass --database-url): %w", err)
		}
		r.url = r.cluster.URL()
	}
	if r.pgbench, err = bench.FindPgbench(r.url); err != nil {
		return r, err
	}
	if r.pool, err = dbpool.Open(ctx, r.url); err != nil {
		return r, err
	}
	if r.loader, err = dbpool.WithoutDeadlines(ctx, r.pool, 0); err != nil {
		return r, err
	}
	return r, nil
}

// close stops what the rig started.
func (r *rig) close(ctx context.Context) error {
	for _, pool := range []*pgxpool.Pool{r.pool, r.loader} {
		if pool != nil {
			pool.Close()
		}
	}
	if r.cluster != nil {
		return r.cluster.Stop(ctx)
	}
	return nil
}

// reset empties the database, so that every section starts under the same conditions. Then it creates the schema and the
// API token.
func (r *rig) reset(ctx context.Context) error {
	if _, err := r.pool.Exec(ctx, `DROP SCHEMA public CASCADE; CREATE SCHEMA public`); err != nil {
		return fmt.Errorf("empty the database: %w", err)
	}
	if err := migrations.Apply(ctx, r.pool); err != nil {
		return err
	}
	r.pool.Reset() // Connections cache data of the old schema.
	r.loader.Reset()
	_, token, err := credentials.NewAPITokens(r.pool).Issue(ctx, "bench", false)
	if err != nil {
		return err
	}
	r.token, r.row = token, 0
	return nil
}

// store returns a store of the database, as a replica has it.
func (r *rig) store() (*postgres.Stores, error) {
	log, err := server.NewLogger(r.errs, "text", "error")
	if err != nil {
		return nil, err
	}
	return postgres.NewStores(postgres.Config{Pool: r.pool, Log: log})
}

// describe returns a report with the description of the machine and the database.
func (r *rig) describe(ctx context.Context) (bench.Report, error) {
	report := bench.Machine()
	err := r.pool.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')`).
		Scan(&report.PostgreSQL, &report.Fsync, &report.SyncCommit)
	return report, err
}

// progress writes a line about the progress of the measurement.
func (r *rig) progress(format string, args ...any) {
	_, _ = fmt.Fprintf(r.errs, format+"\n", args...)
}

// rows returns the number of the first of n rows that no load has used, and prepares tasks for them if tasks is set.
func (r *rig) rows(ctx context.Context, n int, tasks bool) (int, error) {
	first := r.row
	r.row += n
	if tasks {
		store, err := r.store()
		if err != nil {
			return 0, err
		}
		if err := dataset.Prepare(ctx, store.Tasks, r.loader, first, r.row); err != nil {
			return 0, err
		}
	}
	return first, nil
}

func (r *rig) callbackToken(n int) (string, error) {
	return r.tokens.Make("kie", task.AttemptID(bench.AttemptID(n)))
}

// callbackLoad is a load of callbacks about prepared rows.
func (r *rig) callbackLoad(s *service, connections, from int) bench.Callbacks {
	return bench.Callbacks{
		Ingress: s.ingress, SigningKey: r.signingKey, Connections: connections, For: r.For, Token: r.callbackToken, From: from, To: r.row,
	}
}

// fakeProvider is a simulated provider without limits, and a host of sources, in the process that measures.
type fakeProvider struct {
	sim  *sim.Server
	host *httptest.Server
}

// startProvider starts a provider whose generations have a duration, and a host that serves a file at any path.
func (r *rig) startProvider(processing time.Duration, file string) (*fakeProvider, error) {
	unlimited := sim.Limit{N: -1}
	s, err := sim.Start(sim.Config{
		APIKeys: []string{"bench"}, Processing: processing, Source: sim.SourceFetch, TaskPrice: -1,
	}, kie.Profile{WebhookKey: r.signingKey, SubmitLimit: unlimited, QueryLimit: unlimited, CallbackTimeout: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("start the simulated provider: %w", err)
	}
	return &fakeProvider{s, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			return
		}
		http.ServeFile(w, req, file)
	}))}, nil
}

// withProvider resets the database, starts a provider and a service, calls measure with them, and stops them. processing
// is the duration of generations. prepare prepares the database and the file of the sources.
func (r *rig) withProvider(ctx context.Context, processing time.Duration, prepare func(ctx context.Context, clip string) error,
	measure func(ctx context.Context, s *service, p *fakeProvider) ([]bench.Row, error),
) (rows []bench.Row, err error) {
	clip := filepath.Join(r.dir, "source.mp4")
	if err := errors.Join(r.reset(ctx), prepare(ctx, clip)); err != nil {
		return nil, err
	}
	defer os.Remove(clip)                       //nolint:errcheck // It goes with its folder.
	p, err := r.startProvider(processing, clip) //nolint:contextcheck // It lives until it is closed.
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	s, err := r.serve(ctx, p.sim.URL())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	return measure(ctx, s, p)
}

// withoutSaves prepares the database so that the service does not download results.
func (r *rig) withoutSaves(ctx context.Context, clip string) error {
	return errors.Join(dataset.HoldSaves(ctx, r.pool), os.WriteFile(clip, sim.TinyClip(), 0o600))
}

func (p *fakeProvider) close() error {
	p.host.Close()
	return p.sim.Close()
}
