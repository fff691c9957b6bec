package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/replica"
)

// database is what this replica has of the database.
type database struct {
	cluster  *pglocal.Cluster // Nil with a database of the operator's.
	pool     *dbpool.Pool
	direct   *dbpool.Pool // For what needs a session of its own. It is pool unless --database-direct-url names another way.
	clock    *replica.Clock
	notifier *replica.Notifier
	groups   *groupcommit.Metrics
	webhooks loop.Signal // Sent when there are webhooks to send.
	stores   *postgres.Stores
}

// openDatabase opens the database, and makes or checks that it has the schema of this release. The caller closes what it returns,
// also after an error.
func openDatabase(ctx context.Context, f Config, name string, meter metric.Meter, log *slog.Logger) (db *database, err error) {
	db = &database{}
	if f.private() {
		err = db.start(ctx, f, log)
	} else {
		err = db.connect(ctx, f, log)
	}
	if err != nil {
		return db, err
	}
	if db.direct == nil {
		db.direct = db.pool
	}
	if db.clock, err = replica.NewClock(ctx, db.pool, log); err != nil {
		return db, err
	}
	db.notifier = replica.NewNotifier(replica.NotifierConfig{Pool: db.pool, Replica: name, Log: log})
	db.webhooks = loop.NewSignal()
	wakeSender := db.webhooks.Send
	if !f.has(roleWorker) {
		wakeSender = func() { db.notifier.Announce(replica.Webhooks) }
	}
	if err = dbpool.Observe(meter, db.pool); err != nil {
		return db, err
	}
	if db.groups, err = groupcommit.NewMetrics(meter); err != nil {
		return db, err
	}
	stays, err := lifecycle.NewStays(meter)
	if err != nil {
		return db, err
	}
	db.stores, err = postgres.NewStores(postgres.Config{
		Pool: db.pool, Direct: db.direct, Clock: db.clock, Notifier: db.notifier, Wake: wakeSender, Retention: f.Keep(), Groups: db.groups, Stays: stays, Log: log,
	})
	return db, err
}

// warnUnsafe logs the settings with which the database does not keep what it has committed.
func (db *database) warnUnsafe(ctx context.Context, log *slog.Logger) error {
	unsafe, err := dbpool.UnsafeSettings(ctx, db.pool)
	if len(unsafe) > 0 {
		log.ErrorContext(ctx, "the database may forget in a crash what it has committed, and then something may be paid for twice", "off", unsafe)
	}
	return err
}

// connect opens the operator's database. With --database-direct-url, --database-url may lead through a pooler of transactions. The log
// says what a slow start waits for.
func (db *database) connect(ctx context.Context, f Config, log *slog.Logger) (err error) {
	waiting := pglocal.NewWaiting(ctx, log)
	defer waiting.Stop()
	waiting.Step("connecting")
	if f.DatabaseDirectURL == "" {
		if db.pool, err = dbpool.Open(ctx, f.DatabaseURL.Reveal()); err != nil {
			return err
		}
		return prepareSchema(ctx, f, db.pool, waiting)
	}
	if db.direct, err = dbpool.OpenDirect(ctx, f.DatabaseDirectURL.Reveal()); err != nil {
		return err
	}
	if db.pool, err = dbpool.OpenPooled(ctx, f.DatabaseURL.Reveal(), db.direct); err != nil {
		return err
	}
	return prepareSchema(ctx, f, db.direct, waiting)
}

// prepareSchema makes or checks that the database has a schema with which this release works.
func prepareSchema(ctx context.Context, f Config, pool *dbpool.Pool, waiting *pglocal.Waiting) error {
	if f.Migrate {
		waiting.Step("migrating the schema")
		return migrations.Apply(ctx, pool)
	}
	waiting.Step("checking the schema")
	return migrations.Check(ctx, pool)
}

// start starts the private PostgreSQL. It has no time limit, which would prove only that the machine is slow. The log says what a
// slow start waits for.
func (db *database) start(ctx context.Context, f Config, log *slog.Logger) error {
	log = cmp.Or(f.StartLog, log)
	data, err := f.dataDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(data, "postgres")
	log.InfoContext(ctx, "starting the private PostgreSQL", "folder", dir)
	if db.cluster, err = pglocal.Start(ctx, pglocal.Config{DataDir: dir, Logger: log}); err != nil {
		return fmt.Errorf("start the private PostgreSQL (or pass --database-url): %w", err)
	}
	waiting := pglocal.NewWaiting(ctx, log)
	defer waiting.Stop()
	waiting.Step("connecting")
	if db.pool, err = dbpool.Open(ctx, db.cluster.URL()); err != nil {
		return err
	}
	waiting.Step("migrating the schema")
	return migrations.Apply(ctx, db.pool)
}

// close waits for the writes under way, which may be of callers that left, and closes the database.
func (db *database) close(ctx context.Context) error {
	var errs []error
	if db.stores != nil {
		errs = append(errs, db.stores.Close(ctx))
	}
	if db.pool != nil {
		db.pool.Close()
	}
	if db.direct != nil && db.direct != db.pool {
		db.direct.Close()
	}
	if db.cluster != nil {
		errs = append(errs, db.cluster.Stop(ctx))
	}
	return errors.Join(errs...)
}

// ping checks that the database answers.
func (db *database) ping(ctx context.Context) error { return dbpool.Ping(ctx, db.pool) }

// key returns a key that the service made for itself, the same for all replicas.
func (db *database) key(ctx context.Context, name string) ([]byte, error) {
	proposal := make([]byte, 32)
	_, _ = rand.Read(proposal) // It never fails: a system without randomness ends the process.
	return db.stores.Secrets.Secret(ctx, name, proposal)
}

// dataDir returns the folder of the private PostgreSQL and of the default bucket. Without a setting that is a system folder for
// root: the private PostgreSQL runs as another user, who can't enter root's home.
func (f Config) dataDir() (string, error) {
	if f.DataDir != "" {
		return f.DataDir, nil
	}
	dir, err := pglocal.DefaultDataDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for data (or pass --data-dir): %w", err)
	}
	dir = filepath.Dir(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // The PostgreSQL of another user lies below.
		return "", fmt.Errorf("make the data folder (or pass --data-dir): %w", err)
	}
	return dir, nil
}
