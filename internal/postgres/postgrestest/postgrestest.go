// Package postgrestest lends tests a real PostgreSQL: a fresh, migrated database per test, cloned from one
// template.
//
// The server is the one that REFRACT_TEST_DATABASE_URL names (its user must be allowed to create databases
// and roles), or else a private one that starts with the first test that needs it and that Main stops. A test
// that fails keeps its database, which can be looked into when the server is one's own.
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
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // The driver "pgx" of database/sql, which pgtestdb uses.
	"github.com/peterldowns/pgtestdb"
	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/pglocal/pgtest"
	"github.com/refract-video/refract/internal/postgres/migrations"
)

// server is the server of this process. It is started when a test first asks for a database, so that nothing
// waits for it which needs none: a fuzz worker, or a list of tests.
var server struct {
	once    sync.Once
	inMain  bool
	url     string
	cluster *pglocal.Cluster // Nil with a server of one's own.
	err     error
}

// Main runs a package's tests with a server, sees that they leave no goroutine behind but ignored ones, and returns the exit
// code:
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
//
// Tests that share what needs the server stop it in a Run of their own.
func Main(m interface{ Run() int }, ignored ...goleak.Option) int {
	server.inMain = true
	code := m.Run()
	if server.cluster != nil {
		if err := server.cluster.Stop(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "stop the private PostgreSQL:", err)
			return 1
		}
	}
	if code != 0 {
		return code // A test that failed may have left something behind, which would only hide why.
	}
	if err := goleak.Find(ignored...); err != nil {
		fmt.Fprintln(os.Stderr, "the tests left goroutines behind:", err)
		return 1
	}
	return 0
}

// serverURL returns the address of the server, which it starts when it is the first to ask.
func serverURL(t testing.TB) string {
	t.Helper()
	if !server.inMain {
		t.Fatal("call postgrestest.Main in TestMain")
	}
	server.once.Do(startServer)
	if server.err != nil {
		t.Fatalf("these tests need PostgreSQL: %v", server.err)
	}
	return server.url
}

func startServer() {
	if server.url = os.Getenv("REFRACT_TEST_DATABASE_URL"); server.url != "" {
		return
	}
	if server.err = pglocal.RemoveAbandoned(pgtest.Dir()); server.err != nil {
		return
	}
	ctx := context.Background() // A slow machine may take long; the time limit of go test ends a start that hangs.
	server.cluster, server.err = pglocal.Start(ctx, pglocal.Config{
		TempDir: pgtest.Dir(),
		// The data lives as long as the tests, so it needs no safety from power cuts, and no vacuum.
		Settings: map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off", "max_connections": "600"},
		Logger:   slog.New(slog.DiscardHandler),
	})
	if server.err != nil {
		return
	}
	server.url = server.cluster.URL()
	server.err = cheapenPasswords(ctx, server.url)
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
	u, err := url.Parse(serverURL(t))
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
	err := fs.WalkDir(migrations.Files(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations.Files(), path)
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
	return migrations.Apply(ctx, pool)
}
