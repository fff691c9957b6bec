package postgres_test

import (
	"encoding/json"
	"testing"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestPlans_TasksOfAClosedOfferingAreFoundBehindEndedTasks has thousands of ended tasks, whose ids come before those of the queued ones,
// as in any database that has run for a while. Most of the held tasks have no other provider.
func TestPlans_TasksOfAClosedOfferingAreFoundBehindEndedTasks(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	exec(t, pool, postgrestest.PopulateTasks, 20_000)
	exec(t, pool, "DELETE FROM task WHERE state = 'QUEUED'")
	exec(t, pool, `UPDATE task SET id = ('ffffffff' || substr(id::text, 9))::uuid, state = 'QUEUED', result_attempt = NULL,
		not_before_time = CASE WHEN md5(id::text) < '8' THEN 'infinity'::timestamptz END,
		route = CASE WHEN md5('route' || id::text) < 'e' THEN '{kie}' ELSE route END
		WHERE request_id LIKE 'request-%7'`)
	exec(t, pool, "VACUUM ANALYZE task")
	names := []string{"luma/ray-2-modify", "modify/generate", ""}
	for name, args := range map[string][]any{
		"hold tasks":     {"kie", names},
		"lock held":      {"kie", names, []string{"kie", "luma"}, 100},
		"release held":   {"kie", names},
		"offering probe": {"kie", names, []string{}},
	} {
		var text []byte
		tx := postgrestest.Begin(t, pool)
		if err := tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "+postgres.HotStatements[name], args...).Scan(&text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := tx.Rollback(t.Context()); err != nil { // So that each statement finds the same tasks.
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
