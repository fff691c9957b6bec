package pglocal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/loop"
)

const (
	// launchTries is how often a server that ended while starting is started again, each time on another port.
	launchTries = 3
	// readyPoll is how often the server's own word about its state is read.
	readyPoll = 5 * time.Millisecond
)

// errEndedEarly marks a server that ended before it was ready.
var errEndedEarly = errors.New("postgres ended while starting")

// serverSpec is what one server needs to run.
type serverSpec struct {
	user     account
	bin      binaries
	password string
	cfg      Config
	waiting  *Waiting
}

// launch starts the server and tries again when it ends early. Another program may take the port before PostgreSQL binds it, and
// the backends of a killed server need a moment to release their shared memory.
func launch(ctx context.Context, dir *folder, spec serverSpec) (*Cluster, error) {
	for try := 1; ; try++ {
		c, err := launchOnce(ctx, dir, spec)
		if !errors.Is(err, errEndedEarly) || try == launchTries {
			return c, err
		}
		spec.cfg.Logger.DebugContext(ctx, "postgres ended while starting", "try", try, "error", err)
		if loop.Sleep(ctx, time.Duration(try)*100*time.Millisecond) != nil {
			return nil, err
		}
	}
}

func launchOnce(ctx context.Context, dir *folder, spec serverSpec) (*Cluster, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	output := &logTail{logger: spec.cfg.Logger}
	cmd := spec.user.command(dir.path, spec.bin.path("postgres"), serverArgs(dir.data(), port, spec.cfg.Settings)...)
	cmd.Stdout, cmd.Stderr = output, output
	server, err := startProcess(cmd)
	if err != nil {
		return nil, err
	}

	c := &Cluster{folder: dir, server: server, output: output, url: clusterURL(spec.password, port, databaseName)}
	spec.waiting.detailedStep("starting the server, or recovering", c.startState)
	err = c.awaitReady(ctx)
	if err == nil {
		spec.waiting.detailedStep("creating the database", output.attrs)
		// Without the limit that a PGCONNECT_TIMEOUT of the user's would set.
		err = ensureDatabase(ctx, clusterURL(spec.password, port, "postgres")+"&connect_timeout=0")
	}
	if err != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonLimit)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("start postgres in %s: %w", dir.path, err), server.stop(end))
	}
	return c, nil
}

// awaitReady waits until the server says in postmaster.pid that it takes connections. Connecting before that could reach
// a server of another program, which got the port first.
func (c *Cluster) awaitReady(ctx context.Context) error {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		select {
		case <-c.server.done:
			return fmt.Errorf("%w: %w", errEndedEarly, c.server.exit(c.output))
		case <-ctx.Done():
			return fmt.Errorf("wait until it takes connections: %w%s", ctx.Err(), c.output)
		case <-ticker.C:
		}
		if p := readPidFile(c.folder.data()); p.status == statusReady && p.pid == c.server.pid() {
			return nil
		}
	}
}

// startState returns the status and the last log line of a server that does not accept connections yet. In a long recovery
// PostgreSQL logs how far it is.
func (c *Cluster) startState() []slog.Attr {
	var attrs []slog.Attr
	if p := readPidFile(c.folder.data()); p.pid == c.server.pid() && p.status != "" {
		attrs = append(attrs, slog.String("server_status", p.status))
	}
	return append(attrs, c.output.attrs()...)
}

func ensureDatabase(ctx context.Context, adminURL string) (err error) {
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()

	var exists bool
	const find = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`
	if err := conn.QueryRow(ctx, find, databaseName).Scan(&exists); err != nil {
		return fmt.Errorf("look for database %s: %w", databaseName, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+databaseName); err != nil {
		return fmt.Errorf("create database %s: %w", databaseName, err)
	}
	return nil
}

// pidFile is what PostgreSQL writes about itself to postmaster.pid.
type pidFile struct {
	pid    int
	status string // "starting", "stopping", "ready" or "standby"; empty at first.
}

// statusReady is the status of a server that accepts connections.
const statusReady = "ready"

// readPidFile returns the zero value when there is no file or none that makes sense: no server, as far as we know.
func readPidFile(data string) pidFile {
	// The line numbers are PostgreSQL's LOCK_FILE_LINE_PID and LOCK_FILE_LINE_PM_STATUS, counted from 0.
	const pidLine, statusLine = 0, 7
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return pidFile{}
	}
	lines := strings.Split(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[pidLine]))
	if err != nil || pid <= 1 {
		return pidFile{}
	}
	file := pidFile{pid: pid}
	if len(lines) > statusLine {
		file.status = strings.TrimSpace(lines[statusLine])
	}
	return file
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("choose a port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
