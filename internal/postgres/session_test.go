package postgres_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
)

// openPool returns a pool as the service opens it.
func openPool(t *testing.T, databaseURL string) *pgxpool.Pool {
	t.Helper()
	pool, err := dbpool.Open(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// TestOpen_InheritedDefaultsChangeNothing gives the sessions of a database one class of defaults after the other. What the
// service depends on must be its own, and its transactions must work as ever: submit, change, read the log, notify.
func TestOpen_InheritedDefaultsChangeNothing(t *testing.T) {
	t.Parallel()
	version := value[int](t, postgrestest.Pool(t), "SELECT current_setting('server_version_num')::int")
	for class, tc := range map[string]struct {
		defaults []string
		want     map[string]string // The settings of a session; the other defaults may stay as they are.
	}{
		"isolation": {
			[]string{"default_transaction_isolation = serializable", "default_transaction_deferrable = on"},
			map[string]string{"transaction_isolation": "read committed"},
		},
		"timeouts of statements": {
			[]string{"statement_timeout = '5s'", "lock_timeout = '1ms'"},
			map[string]string{"statement_timeout": "15s", "lock_timeout": "0"},
		},
		"timeouts of sessions": {
			[]string{"idle_in_transaction_session_timeout = '1ms'", "idle_session_timeout = '5s'", "transaction_timeout = '5s'"},
			map[string]string{"idle_in_transaction_session_timeout": "15s", "idle_session_timeout": "0", "transaction_timeout": "0"},
		},
		"no schema":        {[]string{"search_path = ''"}, map[string]string{"search_path": `"$user", public`}},
		"a hostile schema": {[]string{"search_path = hostile, public, pg_catalog"}, map[string]string{"search_path": `"$user", public`}},
		"durability":       {[]string{"synchronous_commit = off"}, map[string]string{"synchronous_commit": "on"}},
		"formats": {
			[]string{
				"client_encoding = 'LATIN1'", "standard_conforming_strings = off", "bytea_output = 'escape'", "TimeZone = 'Asia/Kathmandu'",
				"DateStyle = 'German, DMY'", "IntervalStyle = 'sql_standard'", "extra_float_digits = -15", "array_nulls = off",
			},
			map[string]string{
				"client_encoding": "UTF8", "standard_conforming_strings": "on", "bytea_output": "hex", "TimeZone": "UTC",
				"DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "extra_float_digits": "1", "array_nulls": "on",
			},
		},
		"plans": {
			[]string{
				"jit = on", "jit_above_cost = 0", "plan_cache_mode = force_generic_plan", "enable_seqscan = off", "enable_indexscan = off",
				"enable_hashjoin = off", "enable_nestloop = off", "work_mem = '64kB'",
			},
			map[string]string{"jit": "off"},
		},
		"the rest": {
			[]string{"row_security = off", "client_min_messages = debug1", "check_function_bodies = off", "application_name = 'other'"},
			map[string]string{"application_name": "refract"},
		},
	} {
		if version < 170000 {
			tc.defaults = without(tc.defaults, "transaction_timeout")
			delete(tc.want, "transaction_timeout")
		}
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			databaseURL := postgrestest.URL(t)
			admin := postgrestest.Connect(t, databaseURL)
			exec(t, admin, "CREATE SCHEMA hostile")
			exec(t, admin, "CREATE TABLE hostile.task (id uuid)")
			exec(t, admin, "CREATE FUNCTION hostile.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$SELECT 'hostile'$$")
			postgrestest.Inherit(t, databaseURL, tc.defaults...)
			for _, simple := range []bool{false, true} {
				poolURL := databaseURL
				if simple {
					poolURL = postgrestest.With(databaseURL, "default_query_exec_mode", "simple_protocol")
				}
				pool := openPool(t, poolURL)
				for setting, want := range tc.want {
					if got := value[string](t, pool, "SELECT current_setting($1)", setting); got != want {
						t.Errorf("%s is %q, want %q", setting, got, want)
					}
				}
				if !simple { // Our lists have no form in the simple protocol.
					work(t, pool, pool)
				}
			}
		})
	}
}

// without returns the defaults but those of a setting.
func without(defaults []string, setting string) (kept []string) {
	for _, d := range defaults {
		if !strings.HasPrefix(d, setting+" ") {
			kept = append(kept, d)
		}
	}
	return kept
}

// work does what the service does all day, from many sides at once, while another transaction holds a row for a while. The connections
// of direct have sessions of their own.
func work(t *testing.T, pool, direct *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	notifier := replica.NewNotifier(replica.NotifierConfig{Pool: pool, Log: slog.New(slog.DiscardHandler)})
	stores, err := postgres.NewStores(postgres.Config{Pool: pool, Direct: direct, Notifier: notifier})
	if err != nil {
		t.Fatal(err)
	}
	stores.Tasks.SetChangeTimeout(postgrestest.Hung)
	if err := stores.Accounts.PrepareAccounts(ctx, map[string]string{"kie": "kie"}); err != nil {
		t.Fatal(err)
	}
	heard, listening := make(chan task.ID, 1000), make(chan struct{}, 10)
	listener := replica.Listener{
		Pool: direct, Log: slog.New(slog.DiscardHandler), WakeAll: func() { listening <- struct{}{} },
		Wake: func(ids ...task.ID) {
			for _, id := range ids {
				heard <- id
			}
		},
	}
	postgrestest.Background(t, listener.Run)
	select {
	case <-listening:
	case <-time.After(postgrestest.Hung):
		t.Fatal("the listener never listens")
	}
	postgrestest.Background(t, notifier.Run)
	spec := plain()
	spec.Prompt = `snow on "C:\new" – 雪`
	first := create(t, stores, "films", spec)

	release, alone, err := stores.Retention.HoldRetention(ctx)
	if err != nil || !alone {
		t.Fatalf("hold retention: %t, %v", alone, err)
	}
	defer release()
	held := postgrestest.Begin(t, pool)
	if _, err := held.Exec(ctx, "SELECT FROM task WHERE id = $1 FOR UPDATE", first.ID); err != nil {
		t.Fatal(err)
	}
	admitted := make(chan error, 1)
	go func() { // It waits for the row.
		_, err := stores.Tasks.ChangeAnyTask(ctx, first.ID, applying(task.Admitted{Attempt: task.AttemptID(newID()), Account: "kie"}))
		admitted <- err
	}()
	postgrestest.Until(t, func() bool { return waitingForLocks(t, pool) > 0 })
	if _, err := held.Exec(ctx, "SELECT pg_sleep(0.05)"); err != nil {
		t.Errorf("a transaction that takes a moment: %v", err)
	}
	if err := held.Commit(ctx); err != nil {
		t.Error(err)
	}
	if err := <-admitted; err != nil {
		t.Errorf("a change that waited for a row: %v", err)
	}

	const many = 8 // More than the smallest pooler has sessions.
	ids := make([]task.ID, many)
	for _, err := range postgrestest.AtOnce(ctx, many, func(ctx context.Context, i int) error {
		c := submit(ctx, stores, "films", newID(), spec)
		if c.Err != nil {
			return c.Err
		}
		ids[i] = c.Task.ID
		notifier.Add(c.Task.ID)
		_, err := stores.Tasks.ChangeAnyTask(ctx, c.Task.ID, applying(task.CancelRequested{}))
		return err
	}) {
		t.Errorf("submit and cancel: %v", err)
	}
	got, err := stores.Tasks.Task(ctx, "films", first.ID)
	if err != nil || got.Spec.Prompt != spec.Prompt || len(got.Attempts) != 1 {
		t.Errorf("the first task is %+v, %v; want its prompt and an attempt", got, err)
	}
	deadline := time.After(postgrestest.Hung)
	for missing := len(ids); missing > 0; {
		select {
		case id := <-heard:
			if slices.Contains(ids, id) {
				missing--
			}
		case <-deadline:
			t.Fatalf("%d of %d changes were not heard of", missing, len(ids))
		}
	}
	postgrestest.Until(t, func() bool { // Everything that was committed is settled in the end.
		settled, newest, err := stores.Log.Frontier(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return settled == newest
	})
}

// TestOpen_TheURLChoosesTheSchema installs the service in a schema of its own.
func TestOpen_TheURLChoosesTheSchema(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ parameter, value string }{
		"a parameter":      {"search_path", `"Our\ 'Schema'"`},
		"a server option":  {"options", `-c search_path="Our\\\ 'Schema'"`},
		"another spelling": {"options", `--Search-Path="Our\\\ 'Schema'"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databaseURL := postgrestest.EmptyURL(t)
			admin := postgrestest.Connect(t, databaseURL)
			exec(t, admin, `CREATE SCHEMA "Our\ 'Schema'"`)
			postgrestest.Inherit(t, databaseURL, "search_path = public")
			pool := openPool(t, postgrestest.With(databaseURL, tc.parameter, tc.value))
			if err := migrations.Apply(t.Context(), pool); err != nil {
				t.Fatal(err)
			}
			if err := migrations.Check(t.Context(), pool); err != nil {
				t.Error(err)
			}
			if got := value[string](t, admin, "SELECT schemaname FROM pg_tables WHERE tablename = 'task'"); got != `Our\ 'Schema'` {
				t.Errorf("the tables are in schema %s", got)
			}
			work(t, pool, pool)
		})
	}
}

// TestOpen_RefusesASchemaThatOnlyADefaultChooses has tables where the service does not look by itself. A migration would make
// a second set of tables, which would take their place.
func TestOpen_RefusesASchemaThatOnlyADefaultChooses(t *testing.T) {
	t.Parallel()
	databaseURL := postgrestest.EmptyURL(t)
	exec(t, postgrestest.Connect(t, databaseURL), "CREATE SCHEMA films")
	if err := migrations.Apply(t.Context(), openPool(t, postgrestest.With(databaseURL, "search_path", "films"))); err != nil {
		t.Fatal(err)
	}
	postgrestest.Inherit(t, databaseURL, "search_path = films")
	_, err := dbpool.Open(t.Context(), databaseURL)
	if err == nil || !strings.Contains(err.Error(), "add search_path=films to the database URL") {
		t.Errorf("Open = %v, want what to add to the URL", err)
	}
	openPool(t, postgrestest.With(databaseURL, "search_path", "films"))
	postgrestest.Inherit(t, databaseURL, "search_path = elsewhere")
	openPool(t, databaseURL) // The default leads to no tables of ours, so it does not matter.
}

// TestMigrate_InheritedDefaultsChangeNothing migrates an empty database whose defaults are in the way.
func TestMigrate_InheritedDefaultsChangeNothing(t *testing.T) {
	t.Parallel()
	databaseURL := postgrestest.EmptyURL(t)
	postgrestest.Inherit(t, databaseURL, "statement_timeout = '5s'", "lock_timeout = '1ms'", "idle_session_timeout = '5s'", "search_path = elsewhere",
		"default_transaction_isolation = serializable", "standard_conforming_strings = off")
	pool := openPool(t, databaseURL)
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Check(t.Context(), pool); err != nil {
		t.Error(err)
	}
	migrating, err := dbpool.WithoutDeadlines(t.Context(), pool, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer migrating.Close()
	for setting, want := range map[string]string{"statement_timeout": "0", "lock_timeout": "0", "idle_session_timeout": "0", "idle_in_transaction_session_timeout": "0"} {
		if got := value[string](t, migrating, "SELECT current_setting($1)", setting); got != want {
			t.Errorf("%s is %q during a migration, want %q", setting, got, want)
		}
	}
}
