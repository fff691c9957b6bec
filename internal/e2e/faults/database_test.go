package faults_test

import (
	"context"
	"log/slog"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/pglocal/pgtest"
	"github.com/refract-video/refract/internal/postgres/migrations"
)

// startDatabase starts a separate PostgreSQL with the durability of a production server, and returns the URL of its
// migrated database.
func startDatabase(t *testing.T) string {
	t.Helper()
	databaseURL := startEmptyDatabase(t)
	pool, err := pgxpool.New(t.Context(), databaseURL)
	if err != nil {
		t.Fatal("open the database")
	}
	defer pool.Close()
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return databaseURL
}

// startEmptyDatabase does so, with a database without any schema.
func startEmptyDatabase(t *testing.T) string {
	t.Helper()
	cluster, err := pglocal.Start(t.Context(), pglocal.Config{
		TempDir: pgtest.Dir(), Settings: map[string]string{"max_connections": "200"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return cluster.URL()
}

// crash makes a PostgreSQL crash: when one of its processes is killed, it ends all sessions, drops its memory and
// recovers from its write-ahead log.
func crash(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	err = syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL)
	_ = conn.Close(ctx)
	return err
}

// answers waits until a PostgreSQL accepts connections again.
func answers(ctx context.Context, databaseURL string) error {
	for {
		conn, err := pgx.Connect(ctx, databaseURL)
		if err == nil {
			return conn.Close(ctx)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// unsettled counts the tasks that have not ended and do not wait for an unknown outcome.
const unsettled = `
SELECT count(*)
FROM task
WHERE state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELED')
  AND NOT (state = 'RUNNING' AND 'UNCONFIRMED' = (
      SELECT attempt.state FROM attempt WHERE task_id = task.id ORDER BY number DESC LIMIT 1) AND provider <> 'luma-agents')`

// settle waits until every task that can end has ended, and the provider has sent all its callbacks, or until ctx ends.
func (f *fleet) settle(ctx context.Context) {
	f.t.Helper()
	conn, err := pgx.Connect(ctx, f.cfg.databaseURL)
	if err != nil {
		f.t.Fatal("connect to the database")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for quiet := 0; ; {
		// The provider is looked at before the tasks, and twice: a generation ends a moment before its callback is under way, and a
		// task whose outcome is unknown counts as settled until the callback comes.
		if f.provider.Limits().InFlight == 0 && f.provider.Delivering() == 0 {
			quiet++
		} else {
			quiet = 0
		}
		var left int
		if err := conn.QueryRow(ctx, unsettled).Scan(&left); err != nil {
			f.t.Logf("settle: %v; the audit shows what is left", err)
			return
		}
		if left == 0 && quiet >= 2 {
			f.awaitDeliveries(ctx, conn)
			return
		}
		if err := pause(ctx, time.Second); err != nil {
			f.t.Logf("%d tasks have not ended in time; the audit shows which", left)
			return
		}
	}
}

// awaitDeliveries waits until every event has reached its webhook endpoints, or until ctx ends.
func (f *fleet) awaitDeliveries(ctx context.Context, conn *pgx.Conn) {
	f.t.Helper()
	for {
		var left int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM webhook_delivery WHERE state = 'PENDING'`).Scan(&left); err != nil {
			f.t.Logf("await webhooks: %v; the audit shows what is left", err)
			return
		}
		if left == 0 {
			return
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			f.t.Logf("%d events have not been delivered in time; the audit shows which", left)
			return
		}
	}
}

// passwordOf returns the password in a URL.
func passwordOf(t *testing.T, databaseURL string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the URL of the database can't be parsed")
	}
	password, _ := u.User.Password()
	return password
}
