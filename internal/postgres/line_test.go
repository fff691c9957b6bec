package postgres_test

import (
	"encoding/json"
	"testing"

	"github.com/refract-video/refract/internal/postgres"
)

// TestPlans_TheNextInLineIsFoundBehindHeldTasks has hundreds of tasks at the head of each line that wait for their source.
func TestPlans_TheNextInLineIsFoundBehindHeldTasks(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	exec(t, pool, populate, 10_000)
	exec(t, pool, "UPDATE task SET state = 'QUEUED', result_attempt = NULL, not_before_time = 'infinity' WHERE state <> 'QUEUED'")
	exec(t, pool, "VACUUM ANALYZE task")
	last := create(t, store, "tenant-1", plain()) // A tenant of which only held tasks stand before it.
	for name, tc := range map[string]struct {
		sql  string
		args []any
	}{
		"lines":    {postgres.HotStatements["lines"], []any{"kie"}},
		"places":   {postgres.HotStatements["places"], []any{"kie", []string{"tenant-1", "tenant-2"}, 10}},
		"standing": {postgres.HotStatements["standing"], []any{last.ID, 10_000}},
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
