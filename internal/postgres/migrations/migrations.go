// Package migrations contains the database schema, and migrates a database to this release's version. The schema is our tables
// and those of the job queue.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/refract-video/refract/internal/postgres/dbpool"
)

//go:embed *.sql
var files embed.FS

// The errors of Check. With either one, the service does not start.
var (
	// ErrOld means that migrations of this release have not been applied.
	ErrOld = errors.New("the database schema is older than this release: run `refract migrate`, or start with --migrate")
	// ErrNew means that a newer release has migrated the database.
	ErrNew = errors.New("the database schema is newer than this release: run the release that migrated it, or a later one")
)

// Files returns the migrations, so that a test database can be rebuilt when they change.
func Files() fs.FS { return files }

// Apply migrates the schema to this release's version. Replicas may call it at the same time: one migrates, and the others
// wait. It returns ErrNew for a database that a newer release has migrated.
func Apply(ctx context.Context, pool *pgxpool.Pool) error {
	pool, err := dbpool.WithoutDeadlines(ctx, pool)
	if err != nil {
		return fmt.Errorf("connect for the migration: %w", err)
	}
	defer pool.Close()
	unlock, err := lockMigrations(ctx, pool)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := provider(pool)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := refuseNewer(ctx, p); err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema: %w", err)
	}
	jobs, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	if _, err := jobs.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	return nil
}

// A migration tries to take the lock every second, for five minutes.
const (
	lockPeriod = 1 // Seconds.
	lockTries  = 300
)

// lockMigrations serializes concurrent migrations by a lock on a separate connection. It polls for the lock. A statement that
// waits for the lock would hold a snapshot, which delays the concurrent build of an index.
func lockMigrations(ctx context.Context, pool *pgxpool.Pool) (unlock func(), err error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPeriod, lockTries))
	if err != nil {
		return nil, fmt.Errorf("prepare the migration lock: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect for the migration lock: %w", err), db.Close())
	}
	if err := locker.SessionLock(ctx, conn); err != nil {
		return nil, errors.Join(fmt.Errorf("take the migration lock: %w", err), conn.Close(), db.Close())
	}
	return func() {
		// If unlocking fails, the end of the session releases the lock.
		_ = locker.SessionUnlock(context.WithoutCancel(ctx), conn)
		_ = conn.Close()
		_ = db.Close()
	}, nil
}

// Check returns ErrOld or ErrNew unless the schema is exactly this release's.
func Check(ctx context.Context, pool *pgxpool.Pool) error {
	p, err := provider(pool)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := refuseNewer(ctx, p); err != nil {
		return err
	}
	pending, err := p.HasPending(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if pending {
		return ErrOld
	}
	jobs, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("check the job queue's schema: %w", err)
	}
	res, err := jobs.Validate(ctx, nil)
	if err != nil {
		return fmt.Errorf("check the job queue's schema: %w", err)
	}
	if !res.OK {
		return ErrOld
	}
	return nil
}

func refuseNewer(ctx context.Context, p *goose.Provider) error {
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if current > target {
		return fmt.Errorf("schema version %d, this release knows %d: %w", current, target, ErrNew)
	}
	return nil
}

// provider returns goose over the embedded files. Its Close closes the database/sql handle, not the pool.
func provider(pool *pgxpool.Pool) (*goose.Provider, error) {
	p, err := goose.NewProvider(goose.DialectPostgres, stdlib.OpenDBFromPool(pool), files)
	if err != nil {
		return nil, fmt.Errorf("prepare the migrations: %w", err)
	}
	return p, nil
}
