package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/task"
)

const day = 24 * time.Hour

// keeping is how long the tests keep things.
var keeping = retention.Periods{Outputs: 30 * day, Sources: 7 * day, Callbacks: 20 * day, Tasks: 90 * day}

// succeeded stores a task that has succeeded with an output, as it was so long ago, and a callback.
func succeeded(t *testing.T, stores *postgres.Stores, pool *pgxpool.Pool, tenant string, age time.Duration) task.Task {
	t.Helper()
	created := create(t, stores, tenant, plain())
	attempt := admit(t, stores, created.ID)
	for _, in := range []task.Input{
		task.Sending{Attempt: attempt},
		task.Accepted{Attempt: attempt, ProviderTaskID: string(attempt)},
		task.ResultReady{Attempt: attempt},
		task.Saved{Attempt: attempt, Outputs: []task.Output{{
			Key: "outputs/" + string(created.ID) + "/1-0", ContentType: "video/mp4", SizeBytes: 7, SHA256: make([]byte, 32),
		}}},
	} {
		apply(t, stores, created.ID, in)
	}
	exec(t, pool, `INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body) VALUES ($1, 'kie', '', 'applied', '{}')`, attempt)
	seconds := age.Seconds()
	exec(t, pool, `UPDATE task SET create_time = now() - make_interval(secs => $2), update_time = now() - make_interval(secs => $2) WHERE id = $1`, created.ID, seconds)
	exec(t, pool, `UPDATE output SET create_time = now() - make_interval(secs => $2) WHERE attempt_id = $1`, attempt, seconds)
	exec(t, pool, `UPDATE callback SET receive_time = now() - make_interval(secs => $2) WHERE attempt_id = $1`, attempt, seconds)
	return created
}

// dueOf returns how many things of a kind are due, by tenant, from one batch.
func dueOf(t *testing.T, stores *postgres.Stores, kind retention.Kind) map[string]int {
	t.Helper()
	found, err := stores.Retention.ExpiryCandidates(t.Context(), kind, retention.Candidate{})
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

func TestAged_GoesByTheTenantsTermsThenTheSharedOnesThenTheConfiguration(t *testing.T) {
	t.Parallel()
	stores, pool := setupKeeping(t, keeping)
	for _, tenant := range []string{"plain", "short", "long", "ever"} {
		succeeded(t, stores, pool, tenant, 50*day)
		succeeded(t, stores, pool, tenant, 10*day)
		succeeded(t, stores, pool, tenant, time.Hour)
	}
	exec(t, pool, `INSERT INTO tenant (tenant, keep_outputs, keep_callbacks, keep_tasks) VALUES
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
			exec(t, pool, tests[name].shared)
		}
		for kind, want := range tests[name].want {
			if diff := cmp.Diff(want, dueOf(t, stores, kind)); diff != "" {
				t.Errorf("%s: due of kind %s (-want +got):\n%s", name, kind, diff)
			}
		}
	}
}

func TestAged_LeavesAloneWhatIsInUse(t *testing.T) {
	t.Parallel()
	stores, pool := setupKeeping(t, keeping)
	running := create(t, stores, "films", plain())
	followed := create(t, stores, "films", plain())
	attempt := admit(t, stores, followed.ID)
	apply(t, stores, followed.ID, task.Sending{Attempt: attempt})
	apply(t, stores, followed.ID, task.CancelRequested{})
	ended := create(t, stores, "films", plain())
	apply(t, stores, ended.ID, task.CancelRequested{})
	old := `SET create_time = now() - interval '1 year', update_time = now() - interval '1 year'`
	exec(t, pool, `UPDATE task `+old)
	for _, name := range []string{"used", "waiting"} {
		exec(t, pool, `INSERT INTO source (id, tenant, sha256, size_bytes, content_type, duration_us, width, height, flaw, key, last_use_time)
			VALUES (gen_random_uuid(), 'films', sha256($1::text::bytea), 5, '', 0, 0, 0, '', 'sources/' || $1, now() - interval '1 year')`, name)
	}
	exec(t, pool, `UPDATE task SET source_uri = '', source_id = (SELECT id FROM source WHERE key = 'sources/waiting') WHERE id = $1`, running.ID)
	for _, kind := range []retention.Kind{retention.TaskKind, retention.SourceKind} {
		if diff := cmp.Diff(map[string]int{"films": 1}, dueOf(t, stores, kind)); diff != "" {
			t.Errorf("due of kind %s (-want +got):\n%s", kind, diff)
		}
		found, err := stores.Retention.ExpiryCandidates(t.Context(), kind, retention.Candidate{})
		if err != nil {
			t.Fatal(err)
		}
		// Even those that are not due: the statements that remove look for themselves.
		if r, err := stores.Retention.RemoveExpired(t.Context(), kind, found); err != nil || r.Rows != 1 {
			t.Errorf("RemoveAged(%s) = %+v, %v, want one row", kind, r, err)
		}
	}
	if n := count(t, pool, `SELECT count(*) FROM task WHERE id = $1`, ended.ID); n != 0 {
		t.Error("the task that has ended is still there")
	}
	if n := count(t, pool, `SELECT count(*) FROM source WHERE state = 'EXPIRED' AND key = 'sources/used'`); n != 1 {
		t.Error("the source that nobody uses has not expired")
	}
}

func TestRemoveAged_TakesNothingThatWasUsedSinceItWasFound(t *testing.T) {
	t.Parallel()
	stores, pool := setupKeeping(t, keeping)
	ended := succeeded(t, stores, pool, "films", 365*day)
	exec(t, pool, `INSERT INTO source (id, tenant, sha256, size_bytes, content_type, duration_us, width, height, flaw, key, last_use_time)
		VALUES (gen_random_uuid(), 'films', sha256(''), 5, '', 0, 0, 0, '', 'sources/a', now() - interval '1 year')`)
	exec(t, pool, `INSERT INTO source_upload (tenant, id, size_bytes, sha256, received_bytes, parts, update_time)
		VALUES ('films', gen_random_uuid(), 5, '', 5, 1, now() - interval '1 year')`)
	exec(t, pool, `INSERT INTO source_part SELECT tenant, id, 0, 5, 'uploads/a' FROM source_upload`)
	for kind, use := range map[retention.Kind]string{
		retention.TaskKind:   `UPDATE task SET update_time = now()`,
		retention.SourceKind: `UPDATE source SET last_use_time = now()`,
		retention.UploadKind: `UPDATE source_upload SET update_time = now()`,
	} {
		found, err := stores.Retention.ExpiryCandidates(t.Context(), kind, retention.Candidate{})
		if err != nil || len(found) != 1 || !found[0].Due {
			t.Fatalf("Aged(%s) = %+v, %v, want one that is due", kind, found, err)
		}
		exec(t, pool, use)
		if r, err := stores.Retention.RemoveExpired(t.Context(), kind, found); err != nil || r.Rows != 0 {
			t.Errorf("RemoveAged(%s) after a use = %+v, %v, want nothing", kind, r, err)
		}
	}
	if n := count(t, pool, `SELECT count(*) FROM unkept_file`); n != 0 {
		t.Errorf("%d files are to be deleted, want none", n)
	}
	if _, err := stores.Tasks.Task(t.Context(), "films", ended.ID); err != nil {
		t.Error(err)
	}
}

func TestRemoveAged_OfTwoAtOnceOneRemovesEachThing(t *testing.T) {
	t.Parallel()
	stores, pool := setupKeeping(t, keeping)
	for range 20 {
		succeeded(t, stores, pool, "films", 365*day)
	}
	for _, kind := range []retention.Kind{retention.OutputKind, retention.CallbackKind, retention.TaskKind} {
		found, err := stores.Retention.ExpiryCandidates(t.Context(), kind, retention.Candidate{})
		if err != nil {
			t.Fatal(err)
		}
		results := make(chan int64, 4)
		errs := postgrestest.AtOnce(t.Context(), 4, func(ctx context.Context, _ int) error {
			r, err := stores.Retention.RemoveExpired(ctx, kind, found)
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
		if n := count(t, pool, `SELECT count(*) FROM `+table); n != 0 {
			t.Errorf("%d rows are left in table %s", n, table)
		}
	}
	if n := count(t, pool, `SELECT count(*) FROM unkept_file`); n != 20 {
		t.Errorf("%d files are to be deleted, want 20", n)
	}
}

func TestOutputs_ExpireByTheirTermsAndStayExpired(t *testing.T) {
	t.Parallel()
	stores, pool := setupKeeping(t, keeping)
	tests := map[string]struct {
		sql     string
		expired bool
		at      string // When it expires, as SQL; empty for never.
	}{
		"young":               {``, false, `output.create_time + interval '30 days'`},
		"under own terms":     {`INSERT INTO tenant (tenant, keep_outputs) VALUES ($1, '2 days')`, true, `output.create_time + interval '2 days'`},
		"with its task":       {`INSERT INTO tenant (tenant, keep_outputs, keep_tasks) VALUES ($1, '0', '3 days')`, true, `task.update_time + interval '3 days'`},
		"never":               {`INSERT INTO tenant (tenant, keep_outputs, keep_tasks) VALUES ($1, '0', '0')`, false, ``},
		"once it was removed": {`UPDATE output SET remove_time = now() FROM attempt JOIN task ON task.id = task_id WHERE attempt.id = attempt_id AND tenant = $1`, true, `output.remove_time`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := succeeded(t, stores, pool, name, 10*day)
			if test.sql != "" {
				exec(t, pool, test.sql, name)
			}
			got, err := stores.Tasks.Output(t.Context(), ended.ID, 0)
			if err != nil {
				t.Fatal(err)
			}
			var want time.Time
			if test.at != "" {
				want = value[time.Time](t, pool, `SELECT `+test.at+` FROM output JOIN attempt ON attempt.id = attempt_id JOIN task ON task.id = task_id WHERE task_id = $1`, ended.ID)
			}
			if got.Expired != test.expired || !got.ExpireTime.Equal(want) {
				t.Errorf("the output expires at %v, expired %t; want %v, %t", got.ExpireTime, got.Expired, want, test.expired)
			}
			whole, err := stores.Tasks.Task(t.Context(), name, ended.ID)
			if err != nil || len(whole.Outputs) != 1 {
				t.Fatalf("Task = %+v, %v, want an output", whole, err)
			}
			if diff := cmp.Diff(got, whole.Outputs[0]); diff != "" {
				t.Errorf("the task's output differs (-alone +with the task):\n%s", diff)
			}
		})
	}
}
