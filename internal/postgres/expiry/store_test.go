package expiry_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/expiry"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/task"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

const day = 24 * time.Hour

// setup returns the store of a fresh database that keeps things for a while, and the pool under it.
func setup(t *testing.T) (*expiry.Store, *pgxpool.Pool) {
	t.Helper()
	pool := postgrestest.Pool(t)
	return expiry.New(pool, pool, retention.Periods{Outputs: 30 * day, Sources: 7 * day, Callbacks: 20 * day, Tasks: 90 * day}), pool
}

// insertSucceeded inserts a task that has succeeded with an output, as it was so long ago, and a callback.
func insertSucceeded(t *testing.T, pool *pgxpool.Pool, tenant string, age time.Duration) {
	t.Helper()
	id := postgrestest.InsertTask(t, pool, tenant, task.Succeeded, age)
	attempt := postgrestest.InsertAttempt(t, pool, id, task.AttemptSucceeded)
	postgrestest.Exec(t, pool, `INSERT INTO output (attempt_id, index, key, content_type, size_bytes, sha256, create_time)
		VALUES ($1, 0, 'outputs/' || $2::text || '/1-0', 'video/mp4', 7, sha256(''), now() - make_interval(secs => $3))`, attempt, id, age.Seconds())
	postgrestest.Exec(t, pool, `INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body, receive_time)
		VALUES ($1, 'kie', '', 'applied', '{}', now() - make_interval(secs => $2))`, attempt, age.Seconds())
}

// dueOf returns how many things of a kind are due, by tenant, from one batch.
func dueOf(t *testing.T, store *expiry.Store, kind retention.Kind) map[string]int {
	t.Helper()
	found, err := store.ExpiryCandidates(t.Context(), kind, retention.Candidate{})
	if err != nil {
		t.Fatal(err)
	}
	due := map[string]int{}
	for _, a := range found {
		if a.Due {
			due[a.Tenant]++
		}
	}
	return due
}

func TestExpiryCandidates_GoByTheTenantsTermsThenTheSharedOnesThenTheConfiguration(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	for _, tenant := range []string{"plain", "short", "long", "ever"} {
		insertSucceeded(t, pool, tenant, 50*day)
		insertSucceeded(t, pool, tenant, 10*day)
		insertSucceeded(t, pool, tenant, time.Hour)
	}
	postgrestest.Exec(t, pool, `INSERT INTO tenant (tenant, keep_outputs, keep_callbacks, keep_tasks) VALUES
		('short', '2 days', '2 days', '2 days'), ('long', '100 days', '100 days', '100 days'), ('ever', '0', '0', '0')`)
	tests := map[string]struct {
		shared string
		want   map[retention.Kind]map[string]int
	}{
		"configured": {"", map[retention.Kind]map[string]int{
			retention.OutputKind: {"plain": 1, "short": 2}, retention.CallbackKind: {"plain": 1, "short": 2}, retention.TaskKind: {"short": 2},
		}},
		"shared": {`INSERT INTO tenant (tenant, keep_outputs, keep_callbacks, keep_tasks) VALUES ('', '5 days', '0', '40 days')`, map[retention.Kind]map[string]int{
			retention.OutputKind: {"plain": 2, "short": 2}, retention.CallbackKind: {"short": 2}, retention.TaskKind: {"plain": 1, "short": 2},
		}},
	}
	for _, name := range []string{"configured", "shared"} {
		if tests[name].shared != "" {
			postgrestest.Exec(t, pool, tests[name].shared)
		}
		for kind, want := range tests[name].want {
			if diff := cmp.Diff(want, dueOf(t, store, kind)); diff != "" {
				t.Errorf("%s: due of kind %s (-want +got):\n%s", name, kind, diff)
			}
		}
	}
}

func TestRemoveExpired_LeavesAloneWhatIsInUse(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	waiting := postgrestest.InsertTask(t, pool, "films", task.Queued, 365*day)
	followed := postgrestest.InsertTask(t, pool, "films", task.Canceled, 365*day)
	postgrestest.InsertAttempt(t, pool, followed, task.AttemptSubmitting)
	announced := postgrestest.InsertTask(t, pool, "films", task.Canceled, 365*day)
	ended := postgrestest.InsertTask(t, pool, "films", task.Canceled, 365*day)
	postgrestest.Exec(t, pool, `INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state, state, next_attempt_time, event_time)
		VALUES ($1, 2, gen_random_uuid(), 'CANCELED', 'PENDING', now(), now() - interval '4 days'),
		       ($2, 2, gen_random_uuid(), 'CANCELED', 'PENDING', now(), now() - interval '6 days'),
		       ($2, 3, gen_random_uuid(), 'CANCELED', 'FAILED', NULL, now())`, announced, ended)
	for _, name := range []string{"used", "waiting"} {
		postgrestest.Exec(t, pool, `INSERT INTO source (id, tenant, sha256, size_bytes, content_type, duration_us, width, height, flaw, key, last_use_time)
			VALUES (gen_random_uuid(), 'films', sha256($1::text::bytea), 5, '', 0, 0, 0, '', 'sources/' || $1, now() - interval '1 year')`, name)
	}
	postgrestest.Exec(t, pool, `UPDATE task SET source_uri = '', source_id = (SELECT id FROM source WHERE key = 'sources/waiting') WHERE id = $1`, waiting)
	for _, kind := range []retention.Kind{retention.TaskKind, retention.SourceKind} {
		if diff := cmp.Diff(map[string]int{"films": 1}, dueOf(t, store, kind)); diff != "" {
			t.Errorf("due of kind %s (-want +got):\n%s", kind, diff)
		}
		found, err := store.ExpiryCandidates(t.Context(), kind, retention.Candidate{})
		if err != nil {
			t.Fatal(err)
		}
		// Even those that are not due: the statements that remove look for themselves.
		if r, err := store.RemoveExpired(t.Context(), kind, found); err != nil || r.Rows != 1 {
			t.Errorf("RemoveExpired(%s) = %+v, %v, want one row", kind, r, err)
		}
	}
	if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM task WHERE id = $1`, ended); n != 0 {
		t.Error("the task that has ended is still there")
	}
	if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM source WHERE state = 'EXPIRED' AND key = 'sources/used'`); n != 1 {
		t.Error("the source that no task uses has not expired")
	}
}

func TestRemoveExpired_TakesNothingThatWasUsedSinceItWasFound(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	insertSucceeded(t, pool, "films", 365*day)
	postgrestest.Exec(t, pool, `INSERT INTO source (id, tenant, sha256, size_bytes, content_type, duration_us, width, height, flaw, key, last_use_time)
		VALUES (gen_random_uuid(), 'films', sha256(''), 5, '', 0, 0, 0, '', 'sources/a', now() - interval '1 year')`)
	postgrestest.Exec(t, pool, `INSERT INTO source_upload (tenant, id, size_bytes, sha256, received_bytes, parts, update_time)
		VALUES ('films', gen_random_uuid(), 5, '', 5, 1, now() - interval '1 year')`)
	postgrestest.Exec(t, pool, `INSERT INTO source_part SELECT tenant, id, 0, 5, 'uploads/a' FROM source_upload`)
	for kind, use := range map[retention.Kind]string{
		retention.TaskKind:   `UPDATE task SET update_time = now()`,
		retention.SourceKind: `UPDATE source SET last_use_time = now()`,
		retention.UploadKind: `UPDATE source_upload SET update_time = now()`,
	} {
		found, err := store.ExpiryCandidates(t.Context(), kind, retention.Candidate{})
		if err != nil || len(found) != 1 || !found[0].Due {
			t.Fatalf("ExpiryCandidates(%s) = %+v, %v, want one that is due", kind, found, err)
		}
		postgrestest.Exec(t, pool, use)
		if r, err := store.RemoveExpired(t.Context(), kind, found); err != nil || r.Rows != 0 {
			t.Errorf("RemoveExpired(%s) after a use = %+v, %v, want nothing", kind, r, err)
		}
	}
	if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM unkept_file`); n != 0 {
		t.Errorf("%d files are to be deleted, want none", n)
	}
	if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM task`); n != 1 {
		t.Error("the task is removed")
	}
}

func TestRemoveExpired_OfTwoAtOnceOneRemovesEachThing(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	for range 20 {
		insertSucceeded(t, pool, "films", 365*day)
	}
	for _, kind := range []retention.Kind{retention.OutputKind, retention.CallbackKind, retention.TaskKind} {
		found, err := store.ExpiryCandidates(t.Context(), kind, retention.Candidate{})
		if err != nil {
			t.Fatal(err)
		}
		results := make(chan int64, 4)
		errs := postgrestest.AtOnce(t.Context(), 4, func(ctx context.Context, _ int) error {
			r, err := store.RemoveExpired(ctx, kind, found)
			results <- r.Rows
			return err
		})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		var sum int64
		for range 4 {
			sum += <-results
		}
		if sum != 20 {
			t.Errorf("four at once removed %d of 20 of kind %s", sum, kind)
		}
	}
	for _, table := range []string{"task", "attempt", "task_event", "output", "callback"} {
		if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM `+table); n != 0 {
			t.Errorf("%d rows are left in table %s", n, table)
		}
	}
	if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM unkept_file`); n != 20 {
		t.Errorf("%d files are to be deleted, want 20", n)
	}
}
