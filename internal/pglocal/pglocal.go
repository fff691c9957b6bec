// Package pglocal runs a private PostgreSQL server for a Refract that was given no --database-url.
//
// It promises that data is never lost to convenience: a folder is used when it is empty or was made by this package, and
// left exactly as it was otherwise; another major version is an error, not a reason to start afresh. One process owns a
// folder at a time, by a lock that the kernel drops when the process dies. The server is a child in a process group of
// its own, so that Ctrl-C reaches Refract alone and PostgreSQL stays until Refract has drained. Under systemd the same
// needs KillMode=mixed.
//
// When a neighbour fails:
//   - No server binaries on the machine: they are fetched once into a cache. A released build fetches none. Where none are
//     found or fetched, the error says what to do.
//   - PostgreSQL does not start: the error carries the last lines of its log.
//   - PostgreSQL starts slowly, as on a busy machine or after a crash: Start waits for as long as the server process runs, and
//     logs every few seconds what it waits for.
//   - PostgreSQL dies later: [Cluster.Wait] returns an error, and the service is expected to end.
//   - Refract is killed: on Linux the kernel signals the server to shut down; elsewhere it keeps running, and the next Start
//     on the folder stops it before it starts its own.
//   - The machine crashes: PostgreSQL recovers from its write-ahead log at the next Start.
package pglocal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	superuser    = "refract"
	databaseName = "refract"

	// abandonLimit is what a server that did not come up gets for an orderly end.
	abandonLimit = 10 * time.Second
)

// Config says where the cluster lives and how it runs. The zero value is a temporary cluster.
type Config struct {
	// DataDir is the folder that holds the cluster, its password and its lock. It is created when missing and never wiped.
	// Empty means a temporary folder that Stop removes.
	DataDir string

	// TempDir is where the temporary folder is created, as in [os.MkdirTemp]. It must exist, and the account that PostgreSQL
	// runs as must be able to enter it. Empty means os.TempDir(). It is ignored with a DataDir.
	TempDir string

	// Settings are further PostgreSQL settings, such as fsync=off in tests. A setting on which this package relies is refused.
	Settings map[string]string

	// Logger receives PostgreSQL's own log at debug level, and at info level what a slow start waits for. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Cluster is a running PostgreSQL server. Its methods may be called concurrently.
type Cluster struct {
	folder   *folder
	server   *process
	output   *logTail
	url      string
	stopping atomic.Bool
}

// Start brings the cluster up and returns when the database "refract" answers. It has no time limit of its own: creating the
// cluster, recovery after a crash, or a busy machine may take minutes. It ends early when ctx does or when the server
// process ends by itself. NOTE: a server that runs but never accepts connections thus keeps Start waiting; the log says
// for how long and for what, see [Waiting]. The context bounds the start, not the life of the server. The caller must
// call Stop.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	w := NewWaiting(ctx, cfg.Logger)
	defer w.Stop()
	return startWith(ctx, cfg, w)
}

func startWith(ctx context.Context, cfg Config, w *Waiting) (*Cluster, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := checkSettings(cfg.Settings); err != nil {
		return nil, err
	}
	dir, err := openFolder(cfg.DataDir, cfg.TempDir)
	if err != nil {
		return nil, err
	}
	c, err := startIn(ctx, dir, cfg, w)
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	return c, nil
}

func startIn(ctx context.Context, dir *folder, cfg Config, w *Waiting) (*Cluster, error) {
	major, err := dir.major()
	if err != nil {
		return nil, err
	}
	user, err := serverAccount(dir.data())
	if err != nil {
		return nil, err
	}
	w.Step("finding the server programs, or downloading them")
	bin, err := chooseBinaries(ctx, user, dir, major)
	if err != nil {
		return nil, err
	}
	w.Step("running a server program in the data folder")
	if err := user.checkEnter(ctx, bin, dir.path); err != nil {
		return nil, err
	}
	password, err := dir.password(user)
	if err != nil {
		return nil, err
	}
	spec := serverSpec{user: user, bin: bin, password: password, cfg: cfg, waiting: w}
	if major == 0 {
		if err := dir.create(ctx, spec); err != nil {
			return nil, err
		}
	} else {
		w.Step("stopping the server of an earlier process")
		if err := stopLeftover(ctx, dir.data(), cfg.Logger); err != nil {
			return nil, err
		}
	}
	return launch(ctx, dir, spec)
}

// URL returns the connection URL of the database "refract" with the superuser's name and password. It is a secret.
func (c *Cluster) URL() string { return c.url }

// Wait returns nil when ctx ends or Stop was called, and an error when the server ended by itself.
func (c *Cluster) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.server.done:
	}
	if c.stopping.Load() {
		return nil
	}
	return fmt.Errorf("postgres in %s ended by itself: %w", c.folder.path, c.server.exit(c.output))
}

// Stop shuts the server down without waiting for its clients, and returns when the process is gone and the folder is free
// for others; a temporary folder is removed. When ctx ends first the server is made to stop without its final checkpoint:
// nothing committed is lost, the next start replays it, and Stop says so in its error. A second call returns nil.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stopping.Store(true)
	return errors.Join(c.server.stop(ctx), c.folder.close())
}

func clusterURL(password string, port int, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// isRoot is asked in the few places where root, as whom PostgreSQL refuses to run, needs another way.
func isRoot() bool { return os.Geteuid() == 0 }
