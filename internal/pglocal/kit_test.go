package pglocal

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/pglocal/pgtest"
)

// hung is a time after which a condition will not become true, however slow the machine is.
const hung = 5 * time.Minute

// templateDir is the folder of the template, empty until a test needs it.
var templateDir string

// template makes one stopped cluster, of which most tests get a copy: initdb is what takes their time.
var template = sync.OnceValue(func() (err error) {
	if templateDir, err = os.MkdirTemp(pgtest.Dir(), "pglocal-test-template-"); err != nil {
		return err
	}
	if err := os.Chmod(templateDir, folderMode()); err != nil {
		return err
	}
	c, err := Start(context.Background(), testConfig(templateDir))
	if err != nil {
		return err
	}
	return c.Stop(context.Background())
})

// clusterDir returns a folder with a stopped cluster.
func clusterDir(t *testing.T) string {
	t.Helper()
	if err := template(); err != nil {
		t.Fatal(err)
	}
	dir := testDir(t)
	if err := pgtest.Copy(templateDir, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// testDir returns a folder for data of PostgreSQL, in memory where possible.
func testDir(t *testing.T) string {
	t.Helper()
	return openDir(t, pgtest.Dir())
}

// programDir returns a folder that programs can be run from.
func programDir(t *testing.T) string {
	t.Helper()
	return openDir(t, "")
}

// openDir returns a folder for the account that PostgreSQL runs as, to which t.TempDir is closed.
func openDir(t *testing.T, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "pglocal-test-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, folderMode()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func testConfig(dir string) Config {
	return Config{
		DataDir:  dir,
		TempDir:  pgtest.Dir(),
		Settings: map[string]string{"fsync": "off", "shared_buffers": "1MB"},
		Logger:   slog.New(slog.DiscardHandler),
	}
}

func start(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *Cluster) {
	t.Helper()
	if err := c.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, c *Cluster) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func queryRow[T any](t *testing.T, conn *pgx.Conn, sql string) (value T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeProgram writes a shell script that can be run.
func writeProgram(t *testing.T, name, content string) {
	t.Helper()
	write(t, name, "#!/bin/sh\n"+content)
	if err := os.Chmod(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

// snapshot maps each path below dir to its mode and content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			files[path] += " " + string(content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// safeBuffer is a buffer that a server's goroutines and the test may use at the same time.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
