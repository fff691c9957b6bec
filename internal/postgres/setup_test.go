package postgres_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/task"
)

// TestMain asks rapid for fewer lives than its default, since each step of one is a few transactions.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("12")
	}
	os.Exit(postgrestest.Main(m, goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")))
}

// setup returns a store over a fresh database, and the pool under it.
func setup(t *testing.T) (*postgres.Stores, *pgxpool.Pool) {
	t.Helper()
	return setupWith(t, postgres.Config{})
}

// setupKeeping returns a store over a fresh database that keeps things for a while, and the pool under it.
func setupKeeping(t *testing.T, periods retention.Periods) (*postgres.Stores, *pgxpool.Pool) {
	t.Helper()
	return setupWith(t, postgres.Config{Retention: periods})
}

// setupWith returns a store over a fresh database, unless the configuration has a pool, and the pool under it.
func setupWith(t *testing.T, cfg postgres.Config) (*postgres.Stores, *pgxpool.Pool) {
	t.Helper()
	if cfg.Pool == nil {
		cfg.Pool = postgrestest.Pool(t)
	}
	stores, err := postgres.NewStores(cfg)
	if err != nil {
		t.Fatal(err)
	}
	stores.Tasks.SetChangeTimeout(postgrestest.Hung)
	if err := stores.Accounts.PrepareAccounts(t.Context(), map[string]string{"kie": "kie"}); err != nil {
		t.Fatal(err)
	}
	return stores, cfg.Pool
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// plain is a spec in which nothing matters.
func plain() task.Spec {
	return task.Spec{
		Prompt: "make it snow", SourceURI: "https://example.com/a.mp4", Provider: "kie", Deadline: time.Hour, MaxAttempts: 1,
	}
}

// create stores a new task of a tenant.
func create(t *testing.T, stores *postgres.Stores, tenant string, spec task.Spec) task.Task {
	t.Helper()
	c := submit(t.Context(), stores, tenant, newID(), spec)
	if c.Err != nil || !c.New {
		t.Fatalf("create a task: new %t, %v", c.New, c.Err)
	}
	return c.Task
}

// submit stores a new task under a request id.
func submit(ctx context.Context, stores *postgres.Stores, tenant, requestID string, spec task.Spec) lifecycle.NewTask {
	return stores.Tasks.CreateTasks(ctx, []task.Decision{begin(tenant, requestID, spec)})[0]
}

// begin decides to begin a task.
func begin(tenant, requestID string, spec task.Spec) task.Decision {
	return task.New(task.ID(newID()), tenant, requestID, spec, []string{"kie"})
}

// apply gives the stored task an input and returns the task as the store returned it.
func apply(t *testing.T, stores *postgres.Stores, id task.ID, in task.Input) task.Task {
	t.Helper()
	changed, err := stores.Tasks.ChangeAnyTask(t.Context(), id, applying(in))
	if err != nil {
		t.Fatalf("apply %T: %v", in, err)
	}
	return changed
}

// applying decides what the state machine decides.
func applying(in task.Input) lifecycle.Decide {
	return func(t task.Task) (lifecycle.Change, error) {
		d, err := t.Apply(in)
		return lifecycle.Change{Decision: d}, err
	}
}

// admit gives a stored task an attempt and returns its id.
func admit(t *testing.T, stores *postgres.Stores, id task.ID) task.AttemptID {
	t.Helper()
	attempt := task.AttemptID(newID())
	apply(t, stores, id, task.Admitted{Attempt: attempt, Account: "kie"})
	return attempt
}

// count returns the number that a query gives.
func count(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) int {
	t.Helper()
	return value[int](t, pool, sql, args...)
}

// value returns the one value that a query gives.
func value[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	return postgrestest.Value[T](t, pool, sql, args...)
}

// exec runs a statement.
func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	postgrestest.Exec(t, pool, sql, args...)
}
