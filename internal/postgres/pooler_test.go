package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	osexec "os/exec" // The package has a helper named exec.
	"path/filepath"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// startPgBouncer starts a PgBouncer with some settings in front of a database and returns the URL by which it is reached. It
// ends with the test. Where no PgBouncer is installed the test is skipped, but for CI, which installs one.
func startPgBouncer(t *testing.T, databaseURL, settings string) string {
	t.Helper()
	program, err := osexec.LookPath("pgbouncer")
	if err != nil {
		program, err = osexec.LookPath("/usr/sbin/pgbouncer") // Where Debian installs it.
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI must have PgBouncer: %v", err)
		}
		t.Skip("no PgBouncer is installed (Debian: apt-get install pgbouncer)")
	}
	server, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the URL of the database can't be parsed")
	}
	password, _ := server.User.Password()
	dir, err := os.MkdirTemp("", "pgb") //nolint:usetesting // The path of a socket must be short.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(config, fmt.Appendf(nil, `[databases]
refract = host=%s port=%s dbname=%s user=%s password=%s
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = %s
auth_type = any
%s
`, server.Hostname(), server.Port(), strings.TrimPrefix(server.Path, "/"), server.User.Username(), password, dir, settings), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{config}
	if os.Getuid() == 0 { // As whom it refuses to run.
		args = append(args, "-u", "nobody")
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	var output bytes.Buffer
	cmd := osexec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { <-ended })
	postgrestest.Until(t, func() bool {
		select {
		case <-ended:
			t.Fatalf("PgBouncer ended: %s", output.String())
		default:
		}
		var d net.Dialer
		conn, err := d.DialContext(t.Context(), "unix", filepath.Join(dir, ".s.PGSQL.6432"))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return "postgres://refract@/refract?port=6432&host=" + dir
}

// TestOpen_RefusesPooledTransactions opens a database through poolers whose connections do not keep their sessions, whatever
// session they choose.
func TestOpen_RefusesPooledTransactions(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"transactions":                "pool_mode = transaction",
		"statements":                  "pool_mode = statement",
		"the oldest session":          "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 7",
		"one session":                 "pool_mode = transaction\ndefault_pool_size = 1",
		"sessions that are cleaned":   "pool_mode = transaction\nserver_reset_query_always = 1",
		"parameters that are ignored": "pool_mode = transaction\nignore_startup_parameters = extra_float_digits,search_path,options",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databaseURL := postgrestest.URL(t)
			pooled := startPgBouncer(t, databaseURL, settings)
			busy := postgrestest.Connect(t, pooled+"&default_query_exec_mode=exec") // Others that use the pool before.
			for _, err := range postgrestest.AtOnce(t.Context(), 3, func(ctx context.Context, _ int) error { return busy.Ping(ctx) }) {
				t.Fatal(err)
			}
			pool, err := dbpool.Open(t.Context(), pooled)
			if err == nil {
				pool.Close()
			}
			if !errors.Is(err, dbpool.ErrPooled) {
				t.Errorf("Open = %v, want ErrPooled", err)
			}
			if got := value[string](t, busy, "SELECT current_setting('statement_timeout')"); got != "0" {
				t.Errorf("others got a session with statement_timeout %s, want their own", got)
			}
		})
	}
}

// TestOpen_WorksWithPooledSessions uses everything that needs a session through a pooler that lends sessions, and that knows no
// parameters of ours.
func TestOpen_WorksWithPooledSessions(t *testing.T) {
	t.Parallel()
	databaseURL := postgrestest.EmptyURL(t)
	direct := postgrestest.Connect(t, databaseURL)
	exec(t, direct, "CREATE SCHEMA films")
	pool := openPool(t, startPgBouncer(t, databaseURL, "pool_mode = session\ndefault_pool_size = 30")+"&search_path=films")
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if got := value[string](t, direct, "SELECT schemaname FROM pg_tables WHERE tablename = 'task'"); got != "films" {
		t.Errorf("the tables are in schema %s, want that of the URL", got)
	}
	work(t, pool)
}
