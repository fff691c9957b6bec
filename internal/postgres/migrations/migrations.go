// Package migrations contains the database schema, and migrates a database to this release's version. The schema is our tables
// and those of the job queue.
package migrations

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

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
	// ErrNew means that a newer release has migrated the database, and that this one does not work with its schema.
	ErrNew = errors.New("the database schema is newer than this release: run the release that migrated it, or a later one")
)

// Files returns our migrations.
func Files() fs.FS { return files }

// Hash returns a text that changes with the migrations, ours and those of the job queue. It names a database that tests keep.
func Hash() (string, error) {
	h := sha256.New()
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return "", err
		}
		h.Write([]byte(name))
		h.Write(text)
	}
	h.Write([]byte(strconv.FormatInt(oldestCompatible, 10)))
	jobs, err := rivermigrate.New(riverpgxv5.New(nil), nil)
	if err != nil {
		return "", err
	}
	for _, version := range jobs.AllVersions() {
		h.Write([]byte(version.SQLUp))
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// Apply migrates the schema to this release's version. Replicas may call it at the same time: one migrates, and the others
// wait. It changes nothing where a newer release has migrated the database and this release works with its schema; where it does
// not, Apply returns ErrNew. It returns ErrLocked where other transactions hold a lock for minutes.
func Apply(ctx context.Context, pool *pgxpool.Pool) error {
	return apply(ctx, pool, files, oldestCompatible, patience{firstPause, longPause, lockWait})
}

func apply(ctx context.Context, pool *pgxpool.Pool, files fs.FS, oldest int64, p patience) error {
	m, err := openMigrator(ctx, pool, files)
	if err != nil {
		return err
	}
	defer m.close()
	unlock, err := lockMigrations(ctx, m.waiting)
	if err != nil {
		return err
	}
	defer unlock()
	current, target, err := m.locking.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if current > target {
		return checkNewer(ctx, pool, current, target)
	}
	if err := record(ctx, pool, target, oldest); err != nil {
		return err
	}
	if err := m.up(ctx, p); err != nil {
		return err
	}
	if err := record(ctx, pool, target, oldest); err != nil {
		return err
	}
	jobs, err := rivermigrate.New(riverpgxv5.New(m.impatient), nil)
	if err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	return p.retry(ctx, m.waiting, "of the job queue", func() error {
		if _, err := jobs.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return fmt.Errorf("migrate the job queue: %w", err)
		}
		return nil
	})
}

// migrator applies migrations on sessions that wait for locks, and on others that do not wait for long. Goose runs on both.
type migrator struct {
	files              fs.FS
	waiting, impatient *pgxpool.Pool
	building, locking  *goose.Provider // Over waiting and over impatient.
}

func openMigrator(ctx context.Context, pool *pgxpool.Pool, files fs.FS) (m *migrator, err error) {
	m = &migrator{files: files}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.waiting, err = dbpool.WithoutDeadlines(ctx, pool, 0); err != nil {
		return m, fmt.Errorf("connect for the migration: %w", err)
	}
	if m.impatient, err = dbpool.WithoutDeadlines(ctx, pool, lockTimeout); err != nil {
		return m, fmt.Errorf("connect for the migration: %w", err)
	}
	if m.building, err = provider(m.waiting, files); err != nil {
		return m, err
	}
	m.locking, err = provider(m.impatient, files)
	return m, err
}

func (m *migrator) close() {
	for _, p := range []*goose.Provider{m.building, m.locking} {
		if p != nil {
			_ = p.Close() // It closes the database/sql handle, and nothing of it matters any more.
		}
	}
	for _, pool := range []*pgxpool.Pool{m.waiting, m.impatient} {
		if pool != nil {
			pool.Close()
		}
	}
}

// up applies the pending migrations, one after the other.
func (m *migrator) up(ctx context.Context, p patience) error {
	statuses, err := m.locking.Status(ctx)
	if err != nil {
		return fmt.Errorf("read which migrations are applied: %w", err)
	}
	for _, s := range statuses {
		if s.State == goose.StateApplied {
			continue
		}
		on := m.locking
		// An index that is built concurrently waits for all older transactions, and blocks none meanwhile. Such a file limits the
		// waits of its other statements itself.
		if text, err := fs.ReadFile(m.files, s.Source.Path); err != nil {
			return fmt.Errorf("read migration %s: %w", s.Source.Path, err)
		} else if bytes.Contains(text, []byte("CONCURRENTLY")) {
			on = m.building
		}
		err := p.retry(ctx, m.waiting, s.Source.Path, func() error {
			_, err := on.ApplyVersion(ctx, s.Source.Version, true)
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate the schema: %w", err)
		}
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

// Check returns ErrOld where the schema lacks a migration of this release, and ErrNew where a newer release has changed it so that
// this one does not work with it.
func Check(ctx context.Context, pool *pgxpool.Pool) error {
	p, err := provider(pool, files)
	if err != nil {
		return err
	}
	defer p.Close()
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if current > target {
		if err := checkNewer(ctx, pool, current, target); err != nil {
			return err
		}
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

// provider returns goose over migrations. Its Close closes the database/sql handle, not the pool.
func provider(pool *pgxpool.Pool, files fs.FS) (*goose.Provider, error) {
	p, err := goose.NewProvider(goose.DialectPostgres, stdlib.OpenDBFromPool(pool), files)
	if err != nil {
		return nil, fmt.Errorf("prepare the migrations: %w", err)
	}
	return p, nil
}
