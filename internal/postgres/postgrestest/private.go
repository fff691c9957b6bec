package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/pglocal/pgtest"
	"github.com/refract-video/refract/internal/postgres/migrations"
)

// settings are those of a private server. Its data lives as long as the tests, so it needs no safety from power cuts, and no vacuum. A
// session lives for a few executions of each statement, and would plan the statement anew for each of them. The plan for any
// parameters is the one that CheckPlans checks. To create or drop a database, the server scans all shared buffers.
var settings = map[string]string{
	"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off", "max_connections": "600",
	"plan_cache_mode": "force_generic_plan", "shared_buffers": "16MB",
}

// keepPrepared is how long a prepared cluster stays after it was made, when another one is made.
const keepPrepared = 24 * time.Hour

// private is a server for the tests of one package.
type private struct {
	cluster *pglocal.Cluster
	dir     string
}

// preparedFormat changes with what prepareIn does, and with how pglocal creates a cluster.
const preparedFormat = 1

// startPrivate starts a server on a copy of a prepared cluster, which has the template with the schema of this release. To make the
// cluster takes two seconds of processor time, which each package with a database would need. The first package makes it
// and keeps a copy in the user's cache.
func startPrivate(ctx context.Context) (private, error) {
	if err := pglocal.RemoveAbandoned(pgtest.Dir()); err != nil {
		return private{}, err
	}
	kept, err := preparedDir(ctx)
	if err != nil {
		return private{}, err
	}
	if kept != "" {
		if p, err := startCopy(ctx, kept); err == nil {
			return p, nil
		}
		_ = os.RemoveAll(kept) // There is none, or it is damaged.
	}
	return prepare(ctx, kept)
}

func startCopy(ctx context.Context, kept string) (private, error) {
	dir, err := newDir()
	if err != nil {
		return private{}, err
	}
	if err := pgtest.Copy(kept, dir); err != nil {
		return private{}, errors.Join(err, os.RemoveAll(dir))
	}
	return startIn(ctx, dir)
}

// startIn starts a server in a folder, which it removes if that fails.
func startIn(ctx context.Context, dir string) (private, error) {
	cluster, err := pglocal.Start(ctx, pglocal.Config{DataDir: dir, Settings: settings, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return private{}, errors.Join(err, os.RemoveAll(dir))
	}
	return private{cluster, dir}, nil
}

func (p private) stop(ctx context.Context) error {
	return errors.Join(p.cluster.Stop(ctx), os.RemoveAll(p.dir))
}

// preparedDir returns the folder of the cluster for this version of the server and of the schema. It is empty where the user has no cache.
func preparedDir(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil //nolint:nilerr // Each package then makes a cluster.
	}
	major, err := pglocal.Major(ctx)
	if err != nil {
		return "", err
	}
	hash, err := migrations.Hash()
	return filepath.Join(cache, "refract-test", fmt.Sprintf("postgres-%d-%s-%d-%s", major, runtime.GOARCH, preparedFormat, hash)), err
}

// newDir returns an empty folder for a cluster. RemoveAbandoned removes it where the process is killed.
func newDir() (string, error) {
	dir, err := os.MkdirTemp(pgtest.Dir(), pglocal.TemporaryPrefix)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711) //nolint:gosec // The server of a root user runs as another user, who must be able to enter it.
}

// prepare makes a cluster, keeps a copy of it, and starts it.
func prepare(ctx context.Context, kept string) (private, error) {
	dir, err := newDir()
	if err != nil {
		return private{}, err
	}
	p, err := startIn(ctx, dir)
	if err != nil {
		return private{}, err
	}
	err = prepareIn(ctx, p)
	if err := errors.Join(err, p.cluster.Stop(ctx)); err != nil {
		return private{}, errors.Join(err, os.RemoveAll(dir))
	}
	if kept != "" {
		_ = keep(dir, kept) // Without the copy, the next package makes a cluster again.
	}
	return startIn(ctx, dir)
}

func prepareIn(ctx context.Context, p private) error {
	c, err := newCloner(ctx, p.cluster.URL(), true)
	if err != nil {
		return err
	}
	defer c.pool.Close()
	if err := c.cheapenOwnPassword(ctx); err != nil {
		return err
	}
	_, err = c.template()
	return err
}

// keep copies a stopped cluster to where other packages find it, and removes old ones. Others may do the same at this time: each copies
// to a folder of its own, and the first one to rename its folder wins.
func keep(dir, kept string) error {
	all := filepath.Dir(kept)
	if err := os.MkdirAll(all, 0o700); err != nil {
		return err
	}
	old, err := os.ReadDir(all)
	if err != nil {
		return err
	}
	for _, entry := range old {
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > keepPrepared {
			_ = os.RemoveAll(filepath.Join(all, entry.Name())) // It may belong to another user.
		}
	}
	fresh, err := os.MkdirTemp(all, "new-")
	if err != nil {
		return err
	}
	err = pgtest.Copy(dir, fresh)
	if err == nil {
		err = exec.Command("sync").Run() //nolint:noctx // It ends by itself. A copy that a power cut damages may still start.
	}
	if err == nil {
		err = os.Rename(fresh, kept)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	return nil
}
