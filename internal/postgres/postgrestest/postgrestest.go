// Package postgrestest lends tests a real PostgreSQL: a fresh, migrated database per test, cloned from one
// template.
//
// The server is the one that REFRACT_TEST_DATABASE_URL names (its user must be allowed to create databases
// and roles), or else a private one that Main starts and stops. A test that fails keeps its database, which
// can be looked into when the server is one's own.
package postgrestest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // The driver "pgx" of database/sql, which pgtestdb uses.
	"github.com/peterldowns/pgtestdb"

	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/postgres"
)

// serverURL is the server's, set by Main before any test runs.
var serverURL string

// Main runs a package's tests with a server and returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
func Main(m *testing.M) int {
	serverURL = os.Getenv("REFRACT_TEST_DATABASE_URL")
	if serverURL != "" {
		return m.Run()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cluster, err := pglocal.Start(ctx, pglocal.Config{
		// The data lives as long as the tests, so it needs no safety from power cuts.
		Settings: map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"},
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need PostgreSQL:", err)
		return 1
	}
	serverURL = cluster.URL()
	code := m.Run()
	if err := cluster.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "stop the private PostgreSQL:", err)
		return 1
	}
	return code
}

// URL returns the address of a fresh database with the schema of this release.
func URL(t testing.TB) string {
	t.Helper()
	return custom(t, schema{})
}

// EmptyURL returns the address of a fresh database without any schema.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return custom(t, pgtestdb.NoopMigrator{})
}

// Pool returns a pool on a fresh database with the schema of this release. It is closed when the test ends.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return Connect(t, URL(t))
}

// Connect returns a pool on a database, closed when the test ends.
func Connect(t testing.TB, databaseURL string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), databaseURL)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func custom(t testing.TB, m pgtestdb.Migrator) string {
	t.Helper()
	if serverURL == "" {
		t.Fatal("call postgrestest.Main in TestMain")
	}
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal("the server's URL can't be parsed") // The error would print its password.
	}
	password, _ := u.User.Password()
	return pgtestdb.Custom(t, pgtestdb.Config{
		DriverName: "pgx", Host: u.Hostname(), Port: u.Port(), User: u.User.Username(), Password: password,
		Database: strings.TrimPrefix(u.Path, "/"), Options: u.RawQuery, ForceTerminateConnections: true,
	}, m).URL()
}

// schema migrates the template that databases are cloned from.
type schema struct{}

// Hash changes with the migrations.
func (schema) Hash() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(postgres.MigrationFiles(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(postgres.MigrationFiles(), path)
		h.Write(text)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:16]), err
}

func (schema) Migrate(ctx context.Context, _ *sql.DB, cfg pgtestdb.Config) error {
	pool, err := pgxpool.New(ctx, cfg.URL())
	if err != nil {
		return err
	}
	defer pool.Close()
	return postgres.Migrate(ctx, pool)
}
