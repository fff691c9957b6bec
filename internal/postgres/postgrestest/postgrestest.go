// Package postgrestest lends tests a real PostgreSQL: a fresh, migrated database per test, cloned from one
// template.
//
// The server is the one that REFRACT_TEST_DATABASE_URL names (its user must be allowed to create databases
// and roles), or else a private one that starts with the first test that needs it and that Main stops. A test
// that fails keeps its database, which can be looked into when the server is one's own. The private server starts from a cluster
// that is kept in refract-test in the user's cache, and that may be removed at any time.
package postgrestest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
)

// server is the server of this process. It is started when a test first asks for a database, so that nothing
// waits for it which needs none: a fuzz worker, or a list of tests.
var server struct {
	once    sync.Once
	inMain  bool
	cloner  *cloner
	private private // Without a cluster where the server is one's own.
	err     error
}

// gcPercent is the value of GOGC for tests. Their heaps are small, and the race detector makes each collection expensive.
const gcPercent = 300

// ownServer is the environment variable that names a server to use instead of the private one.
const ownServer = "REFRACT_TEST_DATABASE_URL"

// How many tests of a package run at once at most, so that their connections are fewer than the server has.
const (
	maxParallel    = 32
	maxParallelOwn = 4 // On a server of the user's own, which may permit 100 connections to two packages.
)

// leakGrace is how long a goroutine may take to end after the tests. Connections that nothing uses any more would end by themselves
// after 30 seconds.
const leakGrace = 20 * time.Second

// Main runs a package's tests with a server, sees that they leave no goroutine behind but ignored ones, and returns the exit
// code:
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
//
// More tests run at once than there are processors, because tests with a database mostly wait. The flag -parallel changes that.
//
// Tests that share what needs the server stop it in a Run of their own.
func Main(m interface{ Run() int }, ignored ...goleak.Option) int {
	server.inMain = true
	raiseParallel()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	code := m.Run()
	if server.cloner != nil {
		server.cloner.pool.Close()
	}
	if server.private.cluster != nil {
		if err := server.private.stop(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "stop the private PostgreSQL:", err)
			return 1
		}
	}
	if code != 0 {
		return code // A test that failed may have left something behind, which would only hide why.
	}
	if err := Leaked(ignored...); err != nil {
		fmt.Fprintln(os.Stderr, "the tests left goroutines behind:", err)
		return 1
	}
	return 0
}

// raiseParallel sets how many tests run at once, unless the user has. For fuzz tests, the flag is the number of processes.
func raiseParallel() {
	flag.Parse()
	fixed := flag.Lookup("test.fuzz").Value.String() != ""
	flag.Visit(func(f *flag.Flag) { fixed = fixed || f.Name == "test.parallel" })
	if fixed {
		return
	}
	most := maxParallel
	if os.Getenv(ownServer) != "" {
		most = maxParallelOwn
	}
	_ = flag.Set("test.parallel", strconv.Itoa(min(4*runtime.GOMAXPROCS(0), most)))
}

// Leaked returns an error that names the goroutines that should have ended and do not.
func Leaked(ignored ...goleak.Option) error {
	for deadline := time.Now().Add(leakGrace); ; {
		err := goleak.Find(ignored...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// lend returns what clones databases on the server, which starts with the first call.
func lend(t testing.TB) *cloner {
	t.Helper()
	if !server.inMain {
		t.Fatal("call postgrestest.Main in TestMain")
	}
	server.once.Do(startServer)
	if server.err != nil {
		t.Fatalf("these tests need PostgreSQL: %v", server.err)
	}
	return server.cloner
}

func startServer() {
	ctx := context.Background() // A slow machine may take long; the time limit of go test ends a start that hangs.
	if own := os.Getenv(ownServer); own != "" {
		server.cloner, server.err = newCloner(ctx, own, false)
		return
	}
	if server.private, server.err = startPrivate(ctx); server.err != nil {
		return
	}
	server.cloner, server.err = newCloner(ctx, server.private.cluster.URL(), true)
}

// URL returns the address of a fresh database with the schema of this release.
func URL(t testing.TB) string {
	t.Helper()
	c := lend(t)
	template, err := c.template()
	if err != nil {
		t.Fatalf("create the template of databases: %v", err)
	}
	return c.clone(t, template)
}

// EmptyURL returns the address of a fresh database without any schema.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return lend(t).clone(t, emptyTemplate)
}

// Pool returns a pool on a fresh database with the schema of this release. It is closed when the test ends.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return Connect(t, URL(t))
}

// Connect returns a pool on a database, closed when the test ends.
func Connect(t testing.TB, databaseURL string) *pgxpool.Pool {
	t.Helper()
	if !strings.Contains(databaseURL, poolSize+"=") {
		databaseURL = WithPool(databaseURL, "4") // As on a small machine. By default, the number grows with that of the processors.
	}
	pool, err := pgxpool.New(t.Context(), databaseURL)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Begin begins a transaction. When the test ends it is rolled back, if it is still open: the pool waits for it before it closes.
func Begin(t testing.TB, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}
