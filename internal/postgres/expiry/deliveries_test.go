package expiry_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

func TestRemoveDeliveries_KeepsWhatIsPendingOrYoung(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	id := postgrestest.InsertTask(t, pool, "films", task.Succeeded, 0)
	postgrestest.Exec(t, pool, `INSERT INTO webhook_endpoint (id, tenant, url, description, states, labels, rate_limit, secret, delete_time)
		SELECT md5(description)::uuid, 'films', 'https://example.com', description, '{}', '{}', 0, '', delete_time
		FROM (VALUES ('live', NULL), ('just deleted', now()), ('deleted', now() - interval '2 hours')) AS endpoint (description, delete_time)`)
	postgrestest.Exec(t, pool, `INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state, state, next_attempt_time, event_time)
		SELECT $1, row_number() OVER (), endpoint.id, 'SUCCEEDED', state, CASE state WHEN 'PENDING' THEN now() END, now() - make_interval(days => age)
		FROM webhook_endpoint AS endpoint, unnest(ARRAY['PENDING', 'SUCCEEDED', 'FAILED']) AS state, unnest(ARRAY[29, 31]) AS age`, id)
	postgrestest.Exec(t, pool, `INSERT INTO webhook_attempt (task_id, revision, endpoint_id, start_time, duration_ms, status, error, answer)
		SELECT task_id, revision, endpoint_id, now(), 1, 500, '', '' FROM webhook_delivery`)
	for _, want := range []int64{14, 0} { // Two of the live endpoint, and all of the others.
		if rows, err := store.RemoveDeliveries(t.Context()); err != nil || rows != want {
			t.Errorf("RemoveDeliveries = %d, %v, want %d", rows, err, want)
		}
	}
	left := postgrestest.Value[[]string](t, pool, `
		SELECT array_agg(description || ' ' || state || ' ' || date_part('day', now() - event_time) ORDER BY state, event_time)
		FROM webhook_delivery JOIN webhook_endpoint ON webhook_endpoint.id = endpoint_id`)
	want := []string{"live FAILED 29", "live PENDING 31", "live PENDING 29", "live SUCCEEDED 29"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM webhook_attempt`); n != len(want) {
		t.Errorf("%d attempts are left, want %d", n, len(want))
	}
	if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM webhook_endpoint WHERE description <> 'deleted'`); n != 2 {
		t.Errorf("%d endpoints are left, want the live one and the one that was just deleted", n)
	}
	if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM webhook_endpoint`); n != 2 {
		t.Errorf("%d endpoints are left, want 2", n)
	}
}

func TestRemoveDeliveries_TakesABoundedNumber(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	postgrestest.Exec(t, pool, postgrestest.PopulateTasks, 1_200)
	postgrestest.Exec(t, pool, `INSERT INTO webhook_endpoint (id, tenant, url, description, states, labels, rate_limit, secret, delete_time)
		VALUES (gen_random_uuid(), 'films', 'https://example.com', '', '{}', '{}', 0, '', now() - interval '2 hours')`)
	postgrestest.Exec(t, pool, `INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state)
		SELECT task.id, 1, endpoint.id, 'SUCCEEDED' FROM task, webhook_endpoint AS endpoint`)
	for _, want := range []int64{1000, 200, 0} {
		if rows, err := store.RemoveDeliveries(t.Context()); err != nil || rows != want {
			t.Errorf("RemoveDeliveries = %d, %v, want %d", rows, err, want)
		}
	}
	if n := postgrestest.Value[int](t, pool, `SELECT count(*) FROM webhook_endpoint`); n != 0 {
		t.Error("the deleted endpoint is left")
	}
}
