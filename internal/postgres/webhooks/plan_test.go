package webhooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/webhooks"
	"github.com/refract-video/refract/internal/task"
)

func TestPlans_NoHotStatementReadsAWholeTable(t *testing.T) {
	t.Parallel()
	postgrestest.CheckPlans(t, webhooks.HotStatements)
}

// The claims of an endpoint with 40,000 due deliveries, of which each second one is not the first of its task, and those of its neighbors,
// read about as many blocks as they take deliveries.
func TestClaim_CostDoesNotGrowWithTheBacklog(t *testing.T) {
	t.Parallel()
	for _, analyzed := range []string{"never", "before", "since"} {
		t.Run("analyzed "+analyzed, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			dead, alive := f.endpoint("films", nil), f.endpoint("films", func(e *notify.Endpoint) { e.RateLimit = 1000 })
			postgrestest.Exec(t, f.pool, postgrestest.PopulateTasks, 20_000)
			if analyzed == "before" { // The statistics then know only deliveries of another endpoint that have ended.
				postgrestest.Exec(t, f.pool, `INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state, state, next_attempt_time)
					SELECT id, 3, $1, 'SUCCEEDED', 'SUCCEEDED', NULL FROM task`, alive.ID)
				postgrestest.Exec(t, f.pool, `ANALYZE`)
			}
			postgrestest.Exec(t, f.pool, `INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state)
				SELECT id, n, $1, 'SUCCEEDED' FROM task, generate_series(4, 5) AS n`, dead.ID)
			created := f.create("films", task.Spec{})
			if analyzed == "since" {
				postgrestest.Exec(t, f.pool, `ANALYZE`)
			}
			const taken = 100
			both := []notify.EndpointID{dead.ID, alive.ID}
			ids := postgrestest.Value[[]string](t, f.pool, `SELECT array_agg(id::text) FROM (SELECT id FROM task ORDER BY id LIMIT $1) AS chosen`, taken)
			revisions, ofDead := make([]int64, taken), make([]notify.EndpointID, taken)
			for i := range ids {
				revisions[i], ofDead[i] = 5, dead.ID
			}
			for name, statement := range map[string]struct {
				sql  string
				args []any
				most int // Blocks.
			}{
				"due endpoints":             {webhooks.SelectDueEndpoints, []any{notify.EndpointID("00000000-0000-0000-0000-000000000000"), 100}, 100},
				"lock due":                  {webhooks.LockDue, []any{both, []int{taken, taken}}, 5 * taken},
				"lock due of the other one": {webhooks.LockDue, []any{both[1:], []int{taken}}, 100},
				"lease due":                 {webhooks.LeaseDue, []any{ids, revisions, ofDead, lease.Seconds()}, 40 * taken},
				"wake next":                 {webhooks.WakeNext, []any{ids, ofDead}, 40 * taken},
				"wake next of one":          {webhooks.WakeNext, []any{[]task.ID{created.ID}, both[1:]}, 100},
			} {
				if blocks, text := f.blocks(statement.sql, statement.args...); blocks > statement.most {
					t.Errorf("%s read %d blocks, want at most %d:\n%.8000s", name, blocks, statement.most, text)
				}
			}
		})
	}
}

// blocks runs a statement in a transaction that is rolled back, and returns how many blocks it read, and its plan.
func (f *fixture) blocks(sql string, args ...any) (int, string) {
	f.Helper()
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	var text []byte
	rollBack := errors.New("roll back")
	err := pgx.BeginFunc(f.Context(), f.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(context.WithoutCancel(f.Context()), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+sql, args...).Scan(&text); err != nil {
			return err
		}
		return rollBack
	})
	if !errors.Is(err, rollBack) {
		f.Fatal(err)
	}
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		f.Fatalf("the plan can't be read: %v\n%s", err, text)
	}
	return plans[0].Plan.Hit + plans[0].Plan.Read, string(text)
}
