package dbpool_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/nettest"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/pglocal/pgtest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
)

// startCluster starts a PostgreSQL of its own, in a folder or in a temporary one, and returns it with its way to stop.
func startCluster(t *testing.T, dir string) (cluster *pglocal.Cluster, stop func()) {
	t.Helper()
	cluster, err := pglocal.Start(t.Context(), pglocal.Config{DataDir: dir, TempDir: pgtest.Dir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := cluster.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return cluster, stop
}

// startStandby starts a hot standby of a primary on a copy of its folder, and returns its port.
func startStandby(t *testing.T, primary *url.URL, programs, data string) (port string) {
	t.Helper()
	_, port, _ = net.SplitHostPort(nettest.FreeAddress(t))
	password, _ := primary.User.Password()
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "postgres"), "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", fmt.Sprintf("primary_conninfo=host=127.0.0.1 port=%s user=%s password=%s", primary.Port(), primary.User.Username(), password))
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); os.Getuid() == 0 { // As whom PostgreSQL refuses to run.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	cmd.Dir = data
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		<-ended
		if t.Failed() {
			t.Logf("the standby: %s", output.String())
		}
	})
	return port
}

// TestOpen_FollowsAFailover has a URL that names two servers: a primary and its synchronous standby. The primary is fenced, the standby
// is promoted, and then the old primary goes away. Writes and notifications must move, and what was committed must be there.
func TestOpen_FollowsAFailover(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir, err := os.MkdirTemp(pgtest.Dir(), "failover-") //nolint:usetesting // PostgreSQL must be able to enter it.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, stop := startCluster(t, filepath.Join(dir, "a"))
	stop()
	if out, err := exec.CommandContext(ctx, "cp", "-a", filepath.Join(dir, "a"), filepath.Join(dir, "b")).CombinedOutput(); err != nil {
		t.Fatalf("copy the cluster: %v %s", err, out)
	}
	data := standbyData(t, filepath.Join(dir, "b"))
	cluster, stop := startCluster(t, filepath.Join(dir, "a"))
	first, err := url.Parse(cluster.URL())
	if err != nil {
		t.Fatal("the URL of the database can't be parsed")
	}
	old, err := pgx.Connect(ctx, first.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close(context.WithoutCancel(ctx)) }()
	var programs string
	if err := old.QueryRow(ctx, "SELECT setting FROM pg_config WHERE name = 'BINDIR'").Scan(&programs); err != nil {
		t.Fatal(err)
	}
	port := startStandby(t, first, programs, data)
	run(t, old, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	run(t, old, "SELECT pg_reload_conf()")
	postgrestest.Until(t, func() bool {
		var n int
		err := old.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").Scan(&n)
		return err == nil && n == 1
	})

	password, _ := first.User.Password()
	pool := openPool(t, fmt.Sprintf("postgres://%s:%s@/refract?host=127.0.0.1,127.0.0.1&port=%s,%s&sslmode=disable&target_session_attrs=read-write",
		first.User.Username(), password, first.Port(), port))
	heard, connected := make(chan task.ID, 1000), make(chan struct{}, 1000)
	listener := replica.Listener{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Replica: "r",
		Wake: func(ids ...task.ID) { heard <- ids[0] }, WakeAll: func() { connected <- struct{}{} },
	}
	postgrestest.Background(t, listener.Run)
	<-connected
	postgrestest.Exec(t, pool, "CREATE TABLE kept (n int)")
	postgrestest.Exec(t, pool, "INSERT INTO kept VALUES (1)")

	run(t, old, "ALTER SYSTEM SET default_transaction_read_only = on") // The fence.
	run(t, old, "SELECT pg_reload_conf()")
	second, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@127.0.0.1:%s/refract?sslmode=disable", first.User.Username(), password, port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close(context.WithoutCancel(ctx)) }()
	run(t, second, "SELECT pg_promote()")
	server := func() (got string) {
		_ = pool.QueryRow(ctx, "SELECT current_setting('port')").Scan(&got)
		return got
	}
	postgrestest.Until(t, func() bool { _, err := pool.Exec(ctx, "INSERT INTO kept VALUES (2)"); return err == nil })
	if got := server(); got != port {
		t.Errorf("writes go to port %s, want %s of the new primary", got, port)
	}
	stop()
	<-connected // The listener notices by itself that its server takes no writes, or is gone.
	postgrestest.Until(t, func() bool {
		_, err := pool.Exec(ctx, "SELECT pg_notify('refract_task', 'after')")
		return err == nil
	})
	if id := <-heard; id != "after" {
		t.Errorf("heard of %q, want the task that changed after the failover", id)
	}
	if n := postgrestest.Value[int](t, pool, "SELECT count(DISTINCT n) FROM kept"); n != 2 {
		t.Errorf("%d of 2 rows are there", n)
	}
}

// standbyData makes the copied folder of a cluster one of a standby, and returns the folder of its data.
func standbyData(t *testing.T, dir string) string {
	t.Helper()
	versions, err := filepath.Glob(filepath.Join(dir, "*", "PG_VERSION"))
	if own, ownErr := filepath.Glob(filepath.Join(dir, "PG_VERSION")); ownErr == nil {
		versions = append(versions, own...)
	}
	if err != nil || len(versions) != 1 {
		t.Fatalf("the data of the cluster is in %v, %v", versions, err)
	}
	data := filepath.Dir(versions[0])
	signal := filepath.Join(data, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); os.Getuid() == 0 {
		if err := os.Chown(signal, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// run runs a statement on a connection.
func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
