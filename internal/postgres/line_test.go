package postgres_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestPlans_TheNextInLineIsFoundBehindHeldTasks has hundreds of tasks at the head of each line that wait for their source.
func TestPlans_TheNextInLineIsFoundBehindHeldTasks(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	exec(t, pool, postgrestest.PopulateTasks, 10_000)
	exec(t, pool, "UPDATE task SET state = 'QUEUED', result_attempt = NULL, not_before_time = 'infinity' WHERE state <> 'QUEUED'")
	exec(t, pool, "VACUUM ANALYZE task")
	last := create(t, stores, "tenant-1", plain()) // A tenant of which only held tasks stand before it.
	for name, tc := range map[string]struct {
		sql  string
		args []any
	}{
		"tenant queues":  {postgres.HotStatements["tenant queues"], []any{"kie", []string{}}},
		"queued tasks":   {postgres.HotStatements["queued tasks"], []any{"kie", []string{"tenant-1", "tenant-2"}, 10, []string{}}},
		"queue position": {postgres.HotStatements["queue position"], []any{last.ID, 10_000}},
	} {
		var text []byte
		if err := pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "+tc.sql, tc.args...).Scan(&text); err != nil {
			t.Fatal(err)
		}
		var plans []struct{ Plan rejecting }
		if err := json.Unmarshal(text, &plans); err != nil {
			t.Fatal(err)
		}
		if n := plans[0].Plan.rejected(); n > 50 {
			t.Errorf("%s: it looks at %.0f rows for nothing:\n%s", name, n, text)
		}
	}
}

// TestTenantQueues_NeedFewLocksForManyTenantsWithAQuota counts the locks of a round. A database has room for some thousands.
func TestTenantQueues_NeedFewLocksForManyTenantsWithAQuota(t *testing.T) {
	t.Parallel()
	const tenants = 5_000
	stores, pool := setup(t)
	exec(t, pool, "INSERT INTO tenant (tenant, max_in_flight) VALUES ('', 1)")
	exec(t, pool, postgrestest.PopulateTasks, 2*tenants)
	exec(t, pool, `UPDATE task SET state = 'QUEUED', result_attempt = NULL, not_before_time = NULL, deadline_time = now() + interval '1 hour', provider = 'kie', tenant = 't' || n % $1
		FROM (SELECT id, row_number() OVER () AS n FROM task) AS numbered WHERE task.id = numbered.id`, tenants)
	create(t, stores, "small", plain())
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		queues, err := postgres.ReadTenantQueues(t.Context(), tx, "kie", []string{}, time.Second, 100)
		if err != nil || len(queues) != 100 {
			t.Errorf("%d tenants can get a permit, %v, want 100", len(queues), err)
		}
		var locks int
		const held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
		if err := tx.QueryRow(t.Context(), held).Scan(&locks); err != nil {
			return err
		}
		if locks == 0 || locks > 300 {
			t.Errorf("the round holds %d locks for %d tenants, want a few hundred", locks, tenants)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// rejecting is a step of a plan that was run.
type rejecting struct {
	Removed float64 `json:"Rows Removed by Filter"` // In each loop, on average.
	Loops   float64 `json:"Actual Loops"`
	Plans   []rejecting
}

func (r rejecting) rejected() float64 {
	n := r.Removed * r.Loops
	for _, p := range r.Plans {
		n += p.rejected()
	}
	return n
}
