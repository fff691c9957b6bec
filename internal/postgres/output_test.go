package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
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
