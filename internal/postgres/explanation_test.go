package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/explain"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

var _ explain.Store = (*postgres.Tasks)(nil)

func TestTaskRecord_IsForItsTenantAndOperators(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	id := create(t, stores, "acme", plain()).ID
	for name, tc := range map[string]struct {
		caller explain.Caller
		task   task.ID
		found  bool
	}{
		"its tenant":      {explain.Caller{Tenant: "acme"}, id, true},
		"another tenant":  {explain.Caller{Tenant: "other"}, id, false},
		"no tenant":       {explain.Caller{}, id, false},
		"an operator":     {explain.Caller{Tenant: "ops", Operator: true}, id, true},
		"an unknown task": {explain.Caller{Tenant: "ops", Operator: true}, task.ID(newID()), false},
		"a task of none":  {explain.Caller{Tenant: "acme"}, task.ID(newID()), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := stores.Tasks.TaskRecord(t.Context(), tc.caller, tc.task)
			if tc.found && (err != nil || r.Task.ID != id || len(r.Events) != 1 || r.Now.IsZero()) {
				t.Errorf("the record is %+v, %v, want the task's", r, err)
			}
			if !tc.found && !errors.Is(err, lifecycle.ErrTaskNotFound) {
				t.Errorf("the record is %+v, %v, want ErrTaskNotFound", r, err)
			}
		})
	}
}

func TestTaskRecord_HasTheEndsOfALongStory(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	id := create(t, stores, "acme", plain()).ID
	attempt := admit(t, stores, id)
	const many = 5_000
	exec(t, pool, `INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
		SELECT $1, n, 'RUNNING', 1, '', 'acme' FROM generate_series(3, $2::int) AS n`, id, many)
	exec(t, pool, `UPDATE task SET revision = $2 WHERE id = $1`, id, many)
	exec(t, pool, `INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body, receive_time)
		SELECT $1, 'kie', n::text, 'duplicate', '{}', now() + n * interval '1 s' FROM generate_series(1, $2::int) AS n`, attempt, many)
	exec(t, pool, `INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state) VALUES ($1, 1, $1, 'QUEUED')`, id)
	exec(t, pool, `INSERT INTO webhook_attempt (task_id, revision, endpoint_id, start_time, duration_ms, status, error, answer)
		SELECT $1, 1, $1, now() + n * interval '1 s', n, 500, 'it failed', '' FROM generate_series(1, $2::int) AS n`, id, many)

	r, err := stores.Tasks.TaskRecord(t.Context(), explain.Caller{Tenant: "acme"}, id)
	if err != nil {
		t.Fatal(err)
	}
	const read = 2 * explain.Edge
	if len(r.Events) != read || len(r.Callbacks) != read || len(r.Requests) != read || r.Unread != 3*(many-read) {
		t.Fatalf("%d events, %d callbacks, %d requests were read and %d not", len(r.Events), len(r.Callbacks), len(r.Requests), r.Unread)
	}
	if first, last := r.Events[0].Revision, r.Events[read-1].Revision; first != 1 || last != many {
		t.Errorf("the events are %d to %d", first, last)
	}
	if first, last := r.Callbacks[0].ProviderTaskID, r.Callbacks[read-1].ProviderTaskID; first != "1" || last != "5000" {
		t.Errorf("the callbacks are %s to %s", first, last)
	}
	if first, last := r.Requests[0], r.Requests[read-1]; first.Duration != time.Millisecond || first.Last || last.Duration != many*time.Millisecond || !last.Last {
		t.Errorf("the requests are %+v to %+v", first, last)
	}
}

func TestTaskRecord_CountsChecks(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	id := create(t, stores, "acme", plain()).ID
	attempt := admit(t, stores, id)
	apply(t, stores, id, task.Sending{Attempt: attempt})
	apply(t, stores, id, task.Accepted{Attempt: attempt, ProviderTaskID: "p1", CheckAfter: time.Hour})
	cadence := lifecycle.Cadence{Pace: lifecycle.Pace{Every: time.Hour, Typical: time.Hour}, Slow: time.Hour}
	for range 3 {
		exec(t, pool, `UPDATE attempt SET next_check_time = now()`)
		if due, err := stores.Tasks.ClaimChecks(t.Context(), "kie", cadence, 10); err != nil || len(due) != 1 {
			t.Fatalf("claimed %v, %v, want one check", due, err)
		}
	}
	r, err := stores.Tasks.TaskRecord(t.Context(), explain.Caller{Tenant: "acme"}, id)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Times[attempt]; got.Checks != 3 || got.LastCheck.IsZero() || !got.NextCheck.After(r.Now) || got.Answer.IsZero() || !got.Settle.IsZero() {
		t.Errorf("the times are %+v, want three checks and the next one", got)
	}
}

func TestLongInState_HasTheLongestFirst(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	queued := func(minutes int) task.ID {
		id := create(t, stores, "acme", plain()).ID
		exec(t, pool, `UPDATE task SET update_time = now() - make_interval(mins => $2) WHERE id = $1`, id, minutes)
		return id
	}
	oldest, running, young := queued(90), queued(60), queued(20)
	attempt := admit(t, stores, running)
	apply(t, stores, running, task.Sending{Attempt: attempt, Remote: "modify/generate"})
	apply(t, stores, running, task.Accepted{Attempt: attempt, ProviderTaskID: "p1"})
	exec(t, pool, `UPDATE task SET update_time = now() - interval '1 hour' WHERE id = $1`, running)
	queued(5)
	apply(t, stores, queued(100), task.CancelRequested{})
	exec(t, pool, `UPDATE task SET update_time = now() - interval '1 day' WHERE state = 'CANCELED'`)

	bounds := map[task.State]time.Duration{task.Queued: 15 * time.Minute, task.Running: time.Minute, task.Saving: time.Minute}
	var got []task.ID
	var after explain.Place
	for {
		page, err := stores.Tasks.LongInState(t.Context(), bounds, after, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		c := page[0]
		if c.ID == running && (c.Account != "kie" || c.Remote != "modify/generate" || c.Age < time.Hour) {
			t.Errorf("the task that is RUNNING is %+v, want its account and its model", c)
		}
		got, after = append(got, c.ID), explain.Place{Time: c.Since, ID: c.ID}
	}
	if want := []task.ID{oldest, running, young}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

// TestLongInState_ReadsEachStateInOrder pins the plan: the index gives the tasks of a state in order, so the cost depends on the limit.
func TestLongInState_ReadsEachStateInOrder(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	exec(t, pool, postgrestest.PopulateTasks, 5_000)
	exec(t, pool, "ANALYZE")
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, sql := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE longest AS " + postgres.HotStatements["long in their state"]} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := conn.Query(t.Context(), "EXPLAIN EXECUTE longest (NULL, NULL, NULL, NULL, NULL)", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(lines, "\n"); !strings.Contains(plan, "using task_in_state") {
		t.Errorf("the plan does not use the index:\n%s", plan)
	}
	if _, err := conn.Exec(t.Context(), "DEALLOCATE longest"); err != nil {
		t.Error(err)
	}
}
