package pglocal

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// ownerEnv makes the test binary the owner of a cluster in the folder that it names; see TestOwnerKilled.
const ownerEnv = "PGLOCAL_TEST_OWNER_OF"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerEnv); dir != "" {
		ownCluster(dir)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(templateDir)
		os.Exit(code)
	}))
}

// TestCluster_Running looks at one running cluster from all sides.
func TestCluster_Running(t *testing.T) {
	t.Parallel()
	const value = `a b'; $(touch x) "c"`
	var log safeBuffer
	cfg := testConfig(clusterDir(t))
	cfg.Settings["refract.test"] = value
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := start(t, cfg)
	conn := connect(t, c)

	t.Run("AnswersQueries", func(t *testing.T) {
		got := queryRow[string](t, conn, `SELECT current_user || ' ' || current_database() || ' ' || current_setting('fsync')`)
		if want := "refract refract off"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("HasSettingsVerbatim", func(t *testing.T) {
		if got := queryRow[string](t, conn, `SHOW refract.test`); got != value {
			t.Errorf("got %q, want %q", got, value)
		}
	})
	t.Run("AsksForThePassword", func(t *testing.T) {
		cfg, err := pgx.ParseConfig(c.URL())
		if err != nil {
			t.Fatal(err)
		}
		cfg.Password = "guess"
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err == nil {
			_ = conn.Close(t.Context())
			t.Fatal("connected with a wrong password")
		}
		if !strings.Contains(err.Error(), "28P01") {
			t.Errorf("got %v, want SQLSTATE 28P01", err)
		}
	})
	t.Run("WaitReturnsWithItsContext", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Wait(ctx); err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
	t.Run("LogsNoRowValuesAndNoPassword", func(t *testing.T) {
		execute(t, conn, `CREATE TABLE token (value text UNIQUE)`)
		for range 2 {
			_, _ = conn.Exec(t.Context(), `INSERT INTO token VALUES ($1)`, "s3cret-value")
		}
		stop(t, c)
		got := log.String()
		if !strings.Contains(got, "duplicate key") {
			t.Errorf("the log misses PostgreSQL's words:\n%s", got)
		}
		for _, secret := range []string{"s3cret-value", conn.Config().Password} {
			if strings.Contains(got, secret) {
				t.Errorf("the log holds %q:\n%s", secret, got)
			}
		}
	})
}

func TestStop_KeepsData(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	first := start(t, testConfig(dir))
	execute(t, connect(t, first), `CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)`)
	stop(t, first)

	second := start(t, testConfig(dir))
	if got := queryRow[int](t, connect(t, second), `SELECT n FROM kept`); got != 42 {
		t.Errorf("got %d, want 42", got)
	}
	info, err := os.Stat(filepath.Join(dir, "password"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("password file has mode %v, want 0600", got)
	}
}

func TestStop_LeavesNothingOfATemporaryCluster(t *testing.T) {
	t.Parallel()
	c := start(t, testConfig(""))
	conn := connect(t, c)
	pid, dir := c.server.pid(), c.folder.path
	stop(t, c)

	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the temporary folder %s is still there: %v", dir, err)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d is still there: %v", pid, err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the server still answers")
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if err := c.Wait(t.Context()); err != nil {
		t.Errorf("Wait after Stop: %v", err)
	}
}

func TestStop_EndsTheServerThoughTimeIsUp(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	c := start(t, testConfig(dir))
	execute(t, connect(t, c), `CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := syscall.Kill(c.server.pid(), 0); err != syscall.ESRCH {
		t.Errorf("process %d is still there: %v", c.server.pid(), err)
	}
	again := start(t, testConfig(dir))
	if got := queryRow[int](t, connect(t, again), `SELECT n FROM kept`); got != 42 {
		t.Errorf("got %d, want 42", got)
	}
}

func TestWait_ReportsADeadServer(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	c := start(t, testConfig(dir))
	execute(t, connect(t, c), `CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)`)
	if err := syscall.Kill(c.server.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := c.Wait(t.Context())
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v, want an error that names the kill", err)
	}
	stop(t, c)

	again := start(t, testConfig(dir)) // It also frees the shared memory that the killed server could not.
	if got := queryRow[int](t, connect(t, again), `SELECT n FROM kept`); got != 42 {
		t.Errorf("got %d after recovery, want 42", got)
	}
}

func TestStart_RefusesAndTouchesNothing(t *testing.T) {
	t.Parallel()
	// made returns the files of a cluster as far as a start looks at them before it runs the server.
	made := func(version string) map[string]string {
		return map[string]string{lockName: strconv.Itoa(os.Getpid()) + "\n", "password": "guess\n", "data/PG_VERSION": version + "\n", "data/base/1/1": "rows"}
	}
	tests := []struct {
		name string
		// prepare fills the folder; a cluster was made in it and stopped when cluster is true.
		cluster bool
		prepare map[string]string
		want    []string
	}{
		{name: "foreign folder", prepare: map[string]string{"thesis.tex": "years of work"}, want: []string{"thesis.tex", "not a cluster made by refract"}},
		{name: "someone's cluster", prepare: map[string]string{"PG_VERSION": "15\n", "base/1/1": "rows"}, want: []string{"not a cluster made by refract"}},
		{name: "newer major version", prepare: made("99"), want: []string{"made by PostgreSQL 99", "this machine has PostgreSQL 1"}},
		{name: "ancient version", prepare: made("9.6"), want: []string{"made by PostgreSQL 9 ", "at least 14"}},
		{name: "no version", prepare: made("?"), want: []string{"names no version"}},
		{name: "broken configuration", cluster: true, prepare: map[string]string{"data/postgresql.conf": "no such thing"}, want: []string{"ended while starting", "syntax error"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := testDir(t)
			if tt.cluster {
				dir = clusterDir(t)
			}
			for name, content := range tt.prepare {
				write(t, filepath.Join(dir, name), content)
			}
			before := snapshot(t, dir)

			c, err := Start(t.Context(), testConfig(dir))
			if err == nil {
				stop(t, c)
				t.Fatal("started")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want it to contain %q", err, want)
				}
			}
			if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
				t.Errorf("the folder changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestStart_RefusesAFolderInUse(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	first := start(t, testConfig(dir))
	if second, err := Start(t.Context(), testConfig(dir)); err == nil {
		stop(t, second)
		t.Error("two clusters in one folder")
	} else if !strings.Contains(err.Error(), "another refract process uses it") {
		t.Errorf("got %v", err)
	}
	if err := connect(t, first).Ping(t.Context()); err != nil {
		t.Errorf("the first cluster suffered: %v", err)
	}
	stop(t, first)
	start(t, testConfig(dir))
}

func TestStart_RefusesSettings(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"listen_addresses", "port", "hba_file", "Listen_Addresses", "listen-addresses", "a b", ""} {
		dir := filepath.Join(testDir(t), "new")
		c, err := Start(t.Context(), Config{DataDir: dir, Settings: map[string]string{name: "0.0.0.0"}})
		if err == nil {
			stop(t, c)
			t.Errorf("setting %q was taken", name)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("setting %q: the folder was made: %v", name, err)
		}
	}
}

func TestStart_RecoversFromAnInterruptedCreate(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	write(t, filepath.Join(dir, lockName), "1\n")
	write(t, filepath.Join(dir, "data.new", "base", "half"), "made")
	c := start(t, testConfig(dir))
	if err := connect(t, c).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStart_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := clusterDir(t)
	c, err := Start(ctx, testConfig(dir))
	if err == nil {
		stop(t, c)
	}
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	start(t, testConfig(dir)) // and nothing is in the way
}

func TestStart_SaysWhatToDoWhenTheAccountCannotEnter(t *testing.T) {
	t.Parallel()
	if !isRoot() {
		return // PostgreSQL then runs as the user who made the folder
	}
	closed := testDir(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := Start(t.Context(), testConfig(filepath.Join(closed, "inner")))
	if err == nil {
		stop(t, c)
		t.Fatal("started")
	}
	for _, want := range []string{"cannot enter the folder", "/var/lib/refract/postgres", "--database-url"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got error %q, want it to contain %q", err, want)
		}
	}
}

func TestDefaultDataDir_FollowsTheUser(t *testing.T) {
	if isRoot() {
		if got, err := DefaultDataDir(); err != nil || got != "/var/lib/refract/postgres" {
			t.Errorf("got %q, %v", got, err)
		}
		return
	}
	tests := []struct{ xdg, want string }{
		{"/x/share", "/x/share/refract/postgres"},
		{"", "/h/.local/share/refract/postgres"},
		{"relative", "/h/.local/share/refract/postgres"},
	}
	for _, tt := range tests {
		t.Setenv("HOME", "/h")
		t.Setenv("XDG_DATA_HOME", tt.xdg)
		if got, err := DefaultDataDir(); err != nil || got != tt.want {
			t.Errorf("XDG_DATA_HOME %q: got %q, %v, want %q", tt.xdg, got, err, tt.want)
		}
	}
}
