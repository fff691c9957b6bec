package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

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
			pooled := postgrestest.PgBouncer(t, databaseURL, settings)
			busy := postgrestest.Connect(t, postgrestest.With(pooled, "default_query_exec_mode", "exec")) // Others that use the pool before.
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
	pool := openPool(t, postgrestest.With(postgrestest.PgBouncer(t, databaseURL, "pool_mode = session\ndefault_pool_size = 30"), "search_path", "films"))
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if got := value[string](t, direct, "SELECT schemaname FROM pg_tables WHERE tablename = 'task'"); got != "films" {
		t.Errorf("the tables are in schema %s, want that of the URL", got)
	}
	work(t, pool, pool)
}

// pooledSettings makes the sessions of a database as OpenPooled needs them.
var pooledSettings = []string{"statement_timeout = '15s'", "idle_in_transaction_session_timeout = '15s'", "jit = off", "synchronous_commit = on"}

// TestOpenPooled_WorksWithPooledTransactions does everything that the service does through poolers that choose sessions in different
// ways. The sessions must be as they were, since they belong to others, too.
func TestOpenPooled_WorksWithPooledTransactions(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"some sessions":             "pool_mode = transaction\ndefault_pool_size = 5",
		"the oldest session":        "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 7",
		"sessions that are cleaned": "pool_mode = transaction\nserver_reset_query_always = 1",
		"whole sessions":            "pool_mode = session\ndefault_pool_size = 30",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databaseURL := postgrestest.URL(t)
			postgrestest.Inherit(t, databaseURL, pooledSettings...)
			direct := openDirect(t, databaseURL)
			pool, err := dbpool.OpenPooled(t.Context(), postgrestest.PgBouncer(t, databaseURL, settings), direct)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			work(t, pool, direct)
			for _, left := range []string{
				"SELECT count(*) FROM pg_prepared_statements", "SELECT count(*) FROM pg_listening_channels()",
				"SELECT count(*) FROM pg_settings WHERE source = 'session' AND name IN ('search_path', 'lock_timeout', 'enable_seqscan', 'statement_timeout')",
			} {
				if n := value[int](t, pool, left); n != 0 {
					t.Errorf("%s = %d, want nothing left in a session", left, n)
				}
			}
		})
	}
}

// openDirect returns a pool as the service opens it next to a pooler.
func openDirect(t *testing.T, databaseURL string) *dbpool.Pool {
	t.Helper()
	direct, err := dbpool.OpenDirect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(direct.Close)
	return direct
}

// TestOpenPooled_NamesTheSettingsThatSessionsLack runs the statements of the refusal, and is then let in.
func TestOpenPooled_NamesTheSettingsThatSessionsLack(t *testing.T) {
	t.Parallel()
	databaseURL := postgrestest.URL(t)
	postgrestest.Inherit(t, databaseURL, "synchronous_commit = off", "default_transaction_isolation = serializable", "search_path = hostile", "bytea_output = escape")
	const settings = "pool_mode = transaction"
	_, err := dbpool.OpenPooled(t.Context(), postgrestest.PgBouncer(t, databaseURL, settings), openDirect(t, databaseURL))
	if !errors.Is(err, dbpool.ErrSettings) {
		t.Fatalf("OpenPooled = %v, want ErrSettings", err)
	}
	for _, lacking := range []string{
		"SET synchronous_commit = on", "SET default_transaction_isolation = 'read committed'", `SET search_path = "$user", public`,
		"SET bytea_output = 'hex'", "SET statement_timeout = '15s'",
	} {
		if !strings.Contains(err.Error(), lacking) {
			t.Errorf("the refusal says %q, want it to name %q", err, lacking)
		}
	}
	_, statements, _ := strings.Cut(err.Error(), "RECONNECT): ")
	admin := postgrestest.Connect(t, databaseURL)
	for statement := range strings.SplitSeq(statements, "; ") {
		exec(t, admin, statement)
	}
	pool, err := dbpool.OpenPooled(t.Context(), postgrestest.PgBouncer(t, databaseURL, settings), openDirect(t, databaseURL))
	if err != nil {
		t.Fatalf("after %s: %v", statements, err)
	}
	pool.Close()
}

// TestOpenPooled_RefusesAnotherDatabase has a pooler that leads elsewhere than the direct URL.
func TestOpenPooled_RefusesAnotherDatabase(t *testing.T) {
	t.Parallel()
	databaseURL := postgrestest.URL(t)
	postgrestest.Inherit(t, databaseURL, pooledSettings...)
	_, err := dbpool.OpenPooled(t.Context(), postgrestest.PgBouncer(t, databaseURL, "pool_mode = transaction"), openDirect(t, postgrestest.URL(t)))
	if !errors.Is(err, dbpool.ErrOtherDatabase) {
		t.Errorf("OpenPooled = %v, want ErrOtherDatabase", err)
	}
}

// TestOpenDirect_RefusesAPooler has both URLs lead through the pooler, and a direct URL that is none.
func TestOpenDirect_RefusesAPooler(t *testing.T) {
	t.Parallel()
	_, err := dbpool.OpenDirect(t.Context(), postgrestest.PgBouncer(t, postgrestest.URL(t), "pool_mode = transaction"))
	if !errors.Is(err, dbpool.ErrPooled) || !strings.Contains(err.Error(), "--database-direct-url: ") {
		t.Errorf("OpenDirect = %v, want ErrPooled for --database-direct-url", err)
	}
}
