package dbpool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"github.com/refract-video/refract/internal/nettest"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
)

// hole is a way to a database that can be made to swallow everything.
type hole struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
	url   string
}

// dig returns a way to a fresh database.
func dig(t *testing.T) *hole {
	t.Helper()
	u, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal("the URL of the database can't be parsed")
	}
	h := &hole{t: t, proxy: toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), t.Name(), nettest.FreeAddress(t), u.Host)}
	if err := h.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.proxy.Stop)
	u.Host = h.proxy.Listen
	h.url = u.String()
	return h
}

// swallow lets no byte through any more, and reports nothing to either end.
func (h *hole) swallow() {
	h.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := `{"name":"` + stream + `","type":"timeout","stream":"` + stream + `","attributes":{"timeout":0}}`
		if _, err := h.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// delay lets each answer through late.
func (h *hole) delay(d time.Duration) {
	h.t.Helper()
	toxic := fmt.Sprintf(`{"name":"late","type":"latency","stream":"downstream","attributes":{"latency":%d}}`, d.Milliseconds())
	if _, err := h.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		h.t.Fatal(err)
	}
}

// heal lets connections through again that are made from now on.
func (h *hole) heal() { h.proxy.Toxics.ResetToxics(h.t.Context()) }

// TestOpen_SilenceEndsEveryStatement has a database that swallows what it is sent.
func TestOpen_SilenceEndsEveryStatement(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	for name, call := range map[string]func(context.Context, *pgxpool.Pool) error{
		"exec": func(ctx context.Context, p *pgxpool.Pool) error {
			_, err := p.Exec(ctx, "SELECT 1")
			return err
		},
		"query": func(ctx context.Context, p *pgxpool.Pool) error {
			var n int
			return p.QueryRow(ctx, "SELECT 1").Scan(&n)
		},
		"batch": func(ctx context.Context, p *pgxpool.Pool) error {
			var b pgx.Batch
			b.Queue("SELECT 1")
			b.Queue("SELECT 2")
			return p.SendBatch(ctx, &b).Close()
		},
		"copy": func(ctx context.Context, p *pgxpool.Pool) error {
			_, err := p.CopyFrom(ctx, pgx.Identifier{"secret"}, []string{"name", "value"}, pgx.CopyFromRows(nil))
			return err
		},
		"transaction": func(ctx context.Context, p *pgxpool.Pool) error {
			return pgx.BeginFunc(ctx, p, func(pgx.Tx) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := dig(t)
			pool := openWithin(t, h.url, limit)
			works := func() bool { return call(t.Context(), pool) == nil }
			postgrestest.Until(t, works)
			h.swallow()
			if err := call(t.Context(), pool); !dbpool.Unavailable(err) {
				t.Errorf("a silent database gave %v, want an error that says it is out of reach", err)
			}
			h.heal()
			postgrestest.Until(t, works) // Each try ends by itself, and takes a broken connection out of the pool.
		})
	}
}

// openWithin opens a pool, again and again, since on a slow machine an answer may take longer than the limit. It is closed when
// the test ends.
func openWithin(t *testing.T, databaseURL string, limit time.Duration) (pool *pgxpool.Pool) {
	t.Helper()
	postgrestest.Until(t, func() bool {
		var err error
		pool, err = dbpool.OpenWithin(t.Context(), databaseURL, limit)
		return err == nil
	})
	t.Cleanup(pool.Close)
	return pool
}

// TestConnect_HasALimitByContextAndURL compares the limits of a connect.
func TestConnect_HasALimitByContextAndURL(t *testing.T) {
	t.Parallel()
	usual := func(ctx context.Context) context.Context { return ctx }
	for url, wants := range map[string][3]time.Duration{ // As usual, for a start, without timeouts.
		"postgres://a/x":                   {5 * time.Second, time.Minute, 0},
		"postgres://a/x?sslmode=prefer":    {5 * time.Second, time.Minute, 0}, // Its second try is at the same host.
		"postgres://a/x?connect_timeout=3": {3 * time.Second, 3 * time.Second, 0},
		"postgres://a,b/x":                 {5 * time.Second, 5 * time.Second, 0},
		"postgres://a:1,a:2/x":             {5 * time.Second, 5 * time.Second, 0},
	} {
		for i, of := range []func(context.Context) context.Context{usual, dbpool.Patient, dbpool.WithoutTimeouts} {
			if got, err := dbpool.ConnectTimeoutOf(of(t.Context()), url); err != nil || got != wants[i] {
				t.Errorf("%s: a connect has %v, %v, want %v", url, got, err, wants[i])
			}
		}
	}
}

// TestContexts_WaitForASlowDatabase has statements take longer than a pool allows, and without timeouts a connect, too.
func TestContexts_WaitForASlowDatabase(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		starting func(context.Context) context.Context
		url      func(string) string
	}{
		"patient":          {dbpool.Patient, func(its string) string { return its }},
		"without timeouts": {dbpool.WithoutTimeouts, func(its string) string { return postgrestest.With(its, "connect_timeout", "1") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := dig(t)
			const limit = 50 * time.Millisecond
			ctx := tc.starting(t.Context())
			h.delay(350 * time.Millisecond) // A connect takes four answers at least.
			pool, err := dbpool.OpenWithin(ctx, tc.url(h.url), limit)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if _, err := pool.Exec(ctx, "SELECT 1"); err != nil {
				t.Errorf("a statement of the start failed: %v", err)
			}
			if _, err := pool.Exec(t.Context(), "SELECT 1"); !dbpool.Unavailable(err) {
				t.Errorf("with the timeout of the pool a statement gave %v, want an error that says the database is out of reach", err)
			}
		})
	}
}

// TestOpen_ASlowDatabaseIsNamedOnANewConnection has a statement need a connection that takes longer to make than one may be idle
// without a ping.
func TestOpen_ASlowDatabaseIsNamedOnANewConnection(t *testing.T) {
	t.Parallel()
	h := dig(t)
	pool := openWithin(t, h.url, 50*time.Millisecond)
	pool.Reset()                    // Its connection was made before the delay.
	h.delay(350 * time.Millisecond) // A connect takes four answers at least.
	if _, err := pool.Exec(t.Context(), "SELECT 1"); !dbpool.Unavailable(err) {
		t.Errorf("a statement gave %v, want an error that says the database is out of reach", err)
	}
	if made := pool.Stat().NewConnsCount(); made > 2 {
		t.Errorf("the statement took %d connections, want one", made-1)
	}
}

// TestPatient_HasALimit has the silence begin when a start has a connection.
func TestPatient_HasALimit(t *testing.T) {
	t.Parallel()
	h := dig(t)
	pool := openWithin(t, h.url, time.Hour)
	defer h.heal() // So that closing the pool does not wait.
	h.swallow()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // Otherwise the limit of the pool would end it.
	defer cancel()
	if _, err := pool.Exec(dbpool.PatientFor(ctx, 100*time.Millisecond), "SELECT 1"); !dbpool.Unavailable(err) || ctx.Err() != nil {
		t.Errorf("a silent database gave %v, want an error that says it is out of reach", err)
	}
}

// TestOpen_AStatementInTransactionEnds has the silence begin between two statements of a transaction.
func TestOpen_AStatementInTransactionEnds(t *testing.T) {
	t.Parallel()
	h := dig(t)
	pool := openWithin(t, h.url, 300*time.Millisecond)
	defer h.heal() // So that closing the pool does not wait.
	var err error
	silent := false
	postgrestest.Until(t, func() bool { // On a slow machine the beginning of a transaction may take longer than the limit.
		err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			h.swallow()
			silent = true
			_, err := tx.Exec(t.Context(), "SELECT 1")
			return err
		})
		return silent
	})
	if !dbpool.Unavailable(err) {
		t.Errorf("a silent database gave %v, want an error that says it is out of reach", err)
	}
}

// TestOpen_TheServerGivesUpOnASilentClient reads the settings that the server got.
func TestOpen_TheServerGivesUpOnASilentClient(t *testing.T) {
	t.Parallel()
	pool, err := dbpool.Open(t.Context(), postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for setting, want := range map[string]string{
		"idle_in_transaction_session_timeout": "15s", "statement_timeout": "15s", "tcp_keepalives_idle": "10", "tcp_user_timeout": "30000",
	} {
		var got string
		if err := pool.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
}

// TestListener_SilenceHoldsNothingUp expects a listener to wait for longer than a statement may, and to stop when its
// context ends though the server does not answer.
func TestListener_SilenceHoldsNothingUp(t *testing.T) {
	t.Parallel()
	h := dig(t)
	pool := openWithin(t, h.url, 100*time.Millisecond)
	heard := make(chan task.ID, 1000)
	ready := make(chan struct{}, 1)
	l := replica.Listener{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Replica: "r",
		Wake: func(ids ...task.ID) { heard <- ids[0] }, WakeAll: func() { ready <- struct{}{} },
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	<-ready
	if _, err := pool.Exec(ctx, "SELECT pg_sleep(0.5)"); !errors.Is(err, context.DeadlineExceeded) { // Longer than a statement may take.
		t.Errorf("a long statement ended with %v, want its deadline", err)
	}
	postgrestest.Until(t, func() bool { // On a slow machine an answer may take longer than the limit.
		_, err := pool.Exec(ctx, "SELECT pg_notify('refract_task', 'x')")
		return err == nil
	})
	if id := <-heard; id != "x" {
		t.Errorf("heard of %q, want x", id)
	}
	h.swallow()
	cancel()
	if err := <-ended; err != nil { // A listener that waited for the database would not end.
		t.Errorf("the listener ended with %v, want nil", err)
	}
	h.heal()
}

// TestUnavailable_AConnectionThatWasFoundClosed is what a call meets whose connection broke while it lay in the pool.
func TestUnavailable_AConnectionThatWasFoundClosed(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := conn.Conn().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1"); !dbpool.Unavailable(err) {
		t.Errorf("a closed connection gave %v, want an error that says the database is out of reach", err)
	}
}

func TestOpen_KeepsToThePoolSizeOfTheURL(t *testing.T) {
	t.Parallel()
	databaseURL := postgrestest.URL(t)
	for want, poolURL := range map[int32]string{
		20: databaseURL, 3: postgrestest.WithPool(databaseURL, "3"), 50: postgrestest.WithPool(databaseURL, "50"),
	} {
		pool, err := dbpool.Open(t.Context(), poolURL)
		if err != nil {
			t.Fatal(err)
		}
		if got := pool.Config().MaxConns; got != want {
			t.Errorf("the pool holds up to %d connections, want %d", got, want)
		}
		pool.Close()
	}
}
